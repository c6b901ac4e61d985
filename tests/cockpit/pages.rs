//! Pages, help, output, the raw object, leaving.

use super::world::*;
use flightdeck::board::Freshness;
use flightdeck::cockpit::app::pages::{deck, output};
use flightdeck::cockpit::app::state::{OUTPUT_LINES, Over, Overlay, RolloutPanel as P};
use flightdeck::cockpit::app::{ConnectionState, Effect, Event, Page, header};
use flightdeck::cockpit::app::{panels, run};
use flightdeck::model::*;

fn instance(id: &str, service: &str) -> Entity {
    Entity::Instance(Box::new(Instance {
        id: id.to_owned(),
        target: target(service),
        role: ArmRole::Candidate,
        version: "1.1.0".into(),
        state: InstanceState::Ready,
        pid: Some(7),
        address: None,
        restarts: 0,
        started: None,
        logs: None,
        draining: None,
        limits: Vec::new(),
    }))
}

/// On the output of checkout's first instance; the token of the following.
fn following() -> (Desk, u64) {
    let mut desk = Desk::new();
    desk.upsert(instance("i-1", "checkout"));
    desk.upsert(instance("i-2", "checkout"));
    desk.select("checkout");
    desk.keys("enter l");
    let did = desk.did();
    let [Effect::Follow { connection: 0, token, instance }] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!(instance, "i-1");
    let token = *token;
    (desk, token)
}

#[test]
fn pages_have_keys_and_esc_goes_back() {
    let mut desk = Desk::new();
    for (keys, page) in [
        ("2", Page::Approvals),
        ("6", Page::Logs),
        ("1", Page::Deck),
        ("g g enter", Page::Rollout),
        ("esc", Page::Deck),
        ("2 esc", Page::Deck),
    ] {
        desk.keys(keys);
        assert_eq!(desk.state.page, page, "{keys}");
    }
    desk.keys("3");
    assert_eq!(desk.notice(), "`3` does nothing on this page; ? shows what does");
}

#[test]
fn q_and_ctrl_c_quit_everywhere_but_where_text_is_typed() {
    for (before, key, quits) in [
        ("", "q", true),
        ("", "ctrl-c", true),
        ("2", "q", true),
        ("?", "q", false),
        ("a", "q", false),
        ("enter", "q", false),
        ("a tab", "q", false),
        ("a tab", "ctrl-c", true),
        ("/", "q", false),
        ("/", "ctrl-c", true),
        (":", "q", false),
        (":", "ctrl-c", true),
    ] {
        let mut desk = Desk::new();
        desk.select("checkout");
        desk.keys(before);
        desk.key(key);
        assert_eq!(desk.did().contains(&Effect::Quit), quits, "{before} {key}");
    }
    let mut desk = Desk::new();
    desk.key("ctrl-z");
    assert_eq!(desk.did(), [Effect::Suspend]);
    desk.send(Event::Terminate);
    assert_eq!(desk.did(), [Effect::Quit]);
}

#[test]
fn help_scrolls_and_closes() {
    let mut desk = Desk::new();
    let top = |desk: &Desk| match desk.state.overlay {
        Some(Overlay::Help { top }) => Some(top),
        _ => None,
    };
    desk.send(Event::Resize { columns: 80, rows: 24 });
    desk.key("?");
    assert_eq!(top(&desk), Some(0));
    desk.keys("j j k");
    assert_eq!(top(&desk), Some(1));
    desk.keys("g g");
    assert_eq!(top(&desk), Some(0));
    desk.key("a");
    assert!(desk.state.dialog().is_none(), "a key of the page does nothing under the help");
    desk.key("?");
    assert_eq!(top(&desk), None);
    desk.keys("? esc");
    assert_eq!(top(&desk), None);
}

#[test]
fn a_terminal_that_is_too_small_takes_only_the_way_out() {
    let mut desk = Desk::new();
    desk.select("checkout");
    for (columns, rows, small) in [(20, 5, true), (39, 30, true), (120, 9, true), (40, 10, false)] {
        desk.send(Event::Resize { columns, rows });
        assert_eq!(desk.state.too_small(), small, "{columns}x{rows}");
    }
    desk.send(Event::Resize { columns: 20, rows: 5 });
    desk.keys("z a y p H");
    assert!(desk.did().is_empty(), "nobody acts on what can't be seen");
    desk.key("q");
    assert_eq!(desk.did(), [Effect::Quit]);
    desk.send(Event::Resize { columns: 80, rows: 24 });
    desk.key("z");
    assert_eq!(desk.submitted().len(), 1, "it works again when grown");
}

#[test]
fn an_output_is_followed_until_it_is_left() {
    let (mut desk, token) = following();
    assert_eq!(desk.state.page, Page::Output);
    for n in 0..100 {
        desk.send(Event::LogLine { token, line: format!("line {n}") });
    }
    desk.send(Event::LogLine { token: token + 100, line: "of another".to_owned() });
    let output = desk.state.output.as_ref().unwrap();
    assert_eq!((output.lines.len(), output.follow), (100, true));
    let height = usize::from(flightdeck::cockpit::app::dispatch::layout(&desk.state).list.height);
    assert_eq!(output::first_line(output, height), 100 - height);
    // Scrolled back: what is shown stays while lines come.
    desk.key("ctrl-b");
    let output = desk.state.output.as_ref().unwrap();
    let top = output::first_line(output, height);
    assert!(!output.follow && top < 100 - height);
    let shown = output.lines[top].clone();
    for n in 100..(OUTPUT_LINES + 20) {
        desk.send(Event::LogLine { token, line: format!("line {n}") });
    }
    let output = desk.state.output.as_ref().unwrap();
    assert_eq!((output.lines.len(), output.dropped), (OUTPUT_LINES, 20));
    assert_eq!(output.lines[output::first_line(output, height)], shown);
    desk.key("G");
    assert!(desk.state.output.as_ref().unwrap().follow);
    desk.send(Event::LogEnded { token, why: "it ended".to_owned() });
    assert_eq!(desk.state.output.as_ref().unwrap().ended.as_deref(), Some("it ended"));
    desk.key("esc");
    assert_eq!((desk.state.page, desk.did()), (Page::Rollout, vec![Effect::Unfollow { token }]));
}

#[test]
fn leaving_an_output_by_a_page_key_ends_the_following_too() {
    let (mut desk, token) = following();
    desk.key("1");
    assert_eq!((desk.state.page, desk.did()), (Page::Deck, vec![Effect::Unfollow { token }]));
    assert!(desk.state.output.is_none());
}

#[test]
fn the_selected_instance_sticks_and_tab_goes_through_the_panels() {
    let mut desk = Desk::new();
    desk.upsert(instance("i-2", "checkout"));
    desk.upsert(instance("i-9", "search"));
    desk.select("checkout");
    desk.keys("enter");
    desk.upsert(instance("i-1", "checkout"));
    assert_eq!(panels::panel_view(&desk.state, P::Instances, 9), (0, Some(1)), "i-2 is still selected");
    let mut panels = Vec::new();
    for key in ["tab", "tab", "tab", "tab", "shift-tab", "e"] {
        desk.key(key);
        panels.push(desk.state.rollout.as_ref().unwrap().panel);
    }
    assert_eq!(panels, [P::Timeline, P::Analysis, P::Actions, P::Instances, P::Actions, P::Timeline]);
}

#[test]
fn the_raw_object_is_asked_for_and_shown() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.keys("enter i");
    let asked = desk.asked();
    assert_eq!(asked[0].1, Query::Inspect { run: run("checkout") });
    let detail = Detail {
        groups: Vec::new(),
        analyses: Vec::new(),
        history: Vec::new(),
        gaps: Vec::new(),
        rollout: row("checkout", Phase::Progressing),
        instances: Vec::new(),
        notes: Vec::new(),
        evidence: Vec::new(),
        receipts: Vec::new(),
        raw: serde_json::json!({"name": "che\u{1b}ckout"}),
    };
    desk.send(Event::Reply { token: asked[0].0, reply: Ok(Box::new(Reply::Detail(Box::new(detail)))) });
    let page = desk.state.rollout.as_ref().unwrap();
    assert_eq!(
        (&page.over, page.live.raw.as_slice()),
        (&Some(Over::Raw { top: 0 }), ["name: \"che\\eckout\"".to_owned()].as_slice())
    );
    desk.key("esc");
    assert!(desk.state.rollout.as_ref().unwrap().over.is_none());
    assert_eq!(desk.state.page, Page::Rollout);
    desk.key("i");
    let asked = desk.asked();
    desk.send(Event::Reply { token: asked[0].0, reply: Err("timed out".to_owned()) });
    let page = desk.state.rollout.as_ref().unwrap();
    assert_eq!(page.live.failed.as_deref(), Some("timed out"));
    assert_eq!(page.live.raw.len(), 1, "what was read before stays");
}

fn revision(revision: &str, role: Option<ArmRole>, diff: &[&str]) -> Revision {
    Revision {
        revision: revision.to_owned(),
        version: "1.0.0".into(),
        at: None,
        cause: None,
        role,
        diff: diff.iter().map(|line| (*line).to_owned()).collect(),
    }
}

/// What a backend answers that says nothing by itself.
fn detail(service: &str) -> Detail {
    let mut detail = Detail {
        rollout: row(service, Phase::Progressing),
        instances: Vec::new(),
        notes: vec![Note {
            id: "e1".into(),
            run: run(service),
            at: start(),
            who: "kubelet".into(),
            text: "Pulled".into(),
            kind: NoteKind::Event,
        }],
        evidence: Vec::new(),
        receipts: Vec::new(),
        groups: Vec::new(),
        analyses: Vec::new(),
        history: vec![
            revision("4", Some(ArmRole::Candidate), &[]),
            revision("3", None, &["-a", "+b"]),
            revision("2", Some(ArmRole::Stable), &["-a", "+c", " d", " e"]),
        ],
        gaps: Vec::new(),
        raw: serde_json::json!({"kind": "Rollout"}),
    };
    let Entity::Instance(pod) = instance("shop/pod-1", service) else { unreachable!() };
    detail.instances.push(*pod);
    detail
}

/// Answers the only question that was asked since the last look.
#[track_caller]
fn answer(desk: &mut Desk, reply: Result<Reply, String>) {
    let asked = desk.asked();
    let [(token, Query::Inspect { .. })] = asked.as_slice() else { panic!("{asked:?}") };
    desk.send(Event::Reply { token: *token, reply: reply.map(Box::new) });
}

fn opened() -> Desk {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.keys("enter");
    answer(&mut desk, Ok(Reply::Detail(Box::new(detail("checkout")))));
    desk
}

#[test]
fn what_is_not_told_is_asked_for_when_a_rollout_is_opened() {
    let desk = opened();
    assert_eq!(panels::panel_keys(&desk.state, P::Instances), ["shop/pod-1"]);
    assert_eq!(run::notes(&desk.state, &run("checkout"))[0].text, "Pulled");
    assert_eq!(run::panels(&desk.state), [P::Instances, P::Timeline, P::Analysis, P::Revisions, P::Actions]);
    let mut told = Desk::new();
    told.upsert(instance("i-1", "checkout"));
    told.select("checkout");
    told.keys("enter");
    assert!(told.asked().is_empty(), "who tells everything by itself is not asked");
    assert_eq!(run::panels(&told.state), [P::Instances, P::Timeline, P::Analysis, P::Actions]);
}

#[test]
fn it_is_asked_again_when_the_row_changes_and_while_it_moves() {
    let mut desk = opened();
    desk.upsert(rollout("checkout", Phase::Paused));
    assert!(desk.asked().is_empty(), "not more often than every two seconds");
    desk.wait(2_000);
    desk.send(Event::Wake);
    answer(&mut desk, Ok(Reply::Detail(Box::new(detail("checkout")))));
    desk.wait(9_999);
    desk.send(Event::Wake);
    assert!(desk.asked().is_empty());
    desk.wait(1);
    desk.send(Event::Wake);
    answer(&mut desk, Err("timed out".to_owned()));
    assert_eq!(run::gaps(&desk.state), ["not read: timed out"]);
    assert_eq!(run::instances(&desk.state).len(), 1, "what was read before stays");
    desk.keys("esc");
    desk.wait(60_000);
    desk.send(Event::Wake);
    assert!(desk.asked().is_empty(), "nobody looks at it");
    let mut settled = opened();
    settled.upsert(rollout("checkout", Phase::Healthy));
    settled.wait(2_000);
    settled.send(Event::Wake);
    answer(&mut settled, Ok(Reply::Detail(Box::new(detail("checkout")))));
    settled.wait(600_000);
    settled.send(Event::Wake);
    assert!(settled.asked().is_empty(), "what stands still is not asked for again");
}

#[test]
fn a_lost_server_is_asked_when_it_is_back() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.connection(0, "local", ConnectionState::Down { why: "reset".to_owned(), heard: None });
    desk.keys("enter");
    assert!(desk.asked().is_empty());
    desk.connect(0, "local");
    answer(&mut desk, Ok(Reply::Detail(Box::new(detail("checkout")))));
}

#[test]
fn revisions_are_compared_one_after_the_other() {
    let mut desk = opened();
    desk.key("d");
    let compared = |desk: &Desk| run::compared(&desk.state).map(|one| one.revision.clone());
    assert_eq!(compared(&desk).as_deref(), Some("2"), "stable first: an undo goes back to it");
    answer(&mut desk, Ok(Reply::Detail(Box::new(detail("checkout")))));
    assert_eq!(run::over_lines(&desk.state), ["-a", "+c", " d", " e"]);
    for (key, expected) in [("j", "2"), ("k", "3"), ("k", "4"), ("k", "4"), ("j", "3"), ("G", "3")] {
        desk.key(key);
        assert_eq!(compared(&desk).as_deref(), Some(expected), "{key}");
    }
    desk.key("esc");
    assert_eq!((desk.state.page, compared(&desk)), (Page::Rollout, None));
    desk.keys("d tab");
    assert_eq!(compared(&desk), None, "another panel takes its place");
    let mut outside = Desk::new();
    outside.select("checkout");
    outside.key("d");
    assert_eq!(outside.notice(), "`d` does nothing on this page; ? shows what does");
}

#[test]
fn pods_have_no_output_here() {
    let mut desk = opened();
    desk.key("l");
    assert_eq!(desk.notice(), "output: this backend tells no output of its instances");
}

#[test]
fn the_output_of_a_pod_is_a_command_line_to_copy() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.keys("enter");
    let mut detail = detail("checkout");
    let logs = "kubectl --context east -n shop logs pod-1 --all-containers -f";
    detail.instances[0].logs = Some(logs.to_owned());
    answer(&mut desk, Ok(Reply::Detail(Box::new(detail))));
    desk.effects.clear();
    desk.key("l");
    assert_eq!(desk.state.page, Page::Output);
    assert!(desk.did().is_empty(), "nothing is asked: {:?}", desk.did());
    let output = desk.state.output.clone().unwrap();
    assert!(output.lines.iter().any(|line| line == logs), "{:?}", output.lines);
    desk.key("c");
    assert_eq!(desk.did(), [Effect::Copy(logs.to_owned())]);
    desk.key("esc");
    assert_eq!(desk.state.page, Page::Rollout);
}

#[test]
fn an_opened_run_whose_place_was_taken_acts_on_nothing() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("enter");
    let mut newer = row("checkout", Phase::Progressing);
    newer.run.revision = "r2".to_owned();
    desk.upsert(Entity::Rollout(std::sync::Arc::new(newer)));
    desk.effects.clear();
    for key in ["a", "z", "p"] {
        desk.key(key);
        assert!(desk.did().is_empty(), "{key}");
        assert!(desk.notice().contains("a newer rollout took this one's place"), "{}", desk.notice());
    }
}

#[test]
fn copying_takes_the_name_of_what_is_selected() {
    let mut desk = Desk::new();
    desk.select("search");
    desk.key("c");
    assert_eq!(desk.did(), [Effect::Copy("local/production/search".to_owned())]);
    assert_eq!(desk.notice(), "copied local/production/search");
}

#[test]
fn the_header_says_how_fresh_each_source_is() {
    let mut desk = Desk::new();
    desk.connection(1, "prod-us", ConnectionState::Connecting);
    let fresh = |desk: &Desk| {
        header::sources(&desk.state).into_iter().map(|item| (item.name, item.freshness)).collect::<Vec<_>>()
    };
    assert_eq!(fresh(&desk), [("local".to_owned(), Freshness::Fresh), ("prod-us".to_owned(), Freshness::Connecting)]);
    let since = desk.now;
    desk.connection(0, "local", ConnectionState::Down { why: "reset".to_owned(), heard: None });
    desk.wait(5000);
    desk.connection(0, "local", ConnectionState::Connecting);
    let stale = Freshness::Stale { since, why: "connecting again".to_owned() };
    assert_eq!(fresh(&desk)[0], ("local".to_owned(), stale), "stale since it was lost, not since it is tried again");
    desk.connect(0, "local");
    assert_eq!(fresh(&desk)[0].1, Freshness::Fresh);
    // Samples and the hub's own rows are no watches.
    desk.body(0, "hub", "hub", Body::Link(LinkState::live(start())));
    desk.body(0, "local", "samples", Body::Samples(Vec::new()));
    assert_eq!(fresh(&desk).len(), 2);
    assert_eq!(fresh(&desk)[0].1, Freshness::Fresh);
    desk.body(0, "hub", "hub", Body::Link(LinkState::stale(start(), "ledger full".to_owned())));
    assert_eq!(fresh(&desk).len(), 3, "a hub that is not well is shown");
    let header = header::header(&desk.state);
    assert_eq!((header.actor, header.enforced, header.read_only), (Some("alice"), true, false));
}

#[test]
fn ages_count_from_the_last_word_and_what_never_answered_is_said_so() {
    let mut desk = Desk::new();
    let heard = desk.now;
    desk.wait(4000);
    let down = |heard| ConnectionState::Down { why: "silent".to_owned(), heard };
    desk.connection(0, "local", down(Some(heard)));
    let stale = |since| Freshness::Stale { since, why: "silent".to_owned() };
    assert_eq!(header::sources(&desk.state)[0].freshness, stale(heard), "not since it was noticed");
    let tried = desk.now;
    desk.connection(1, "prod-us", ConnectionState::Connecting);
    desk.wait(4000);
    desk.connection(1, "prod-us", down(None));
    assert_eq!(header::sources(&desk.state)[1].freshness, Freshness::Never { since: tried, why: "silent".to_owned() });
    assert_eq!(header::sources(&desk.state)[0].freshness, stale(heard), "and so it stays");
}

#[test]
fn what_needs_you_is_marked_where_it_may_be_old() {
    let mut desk = Desk::new();
    assert!(deck::needs(&desk.state).rows.iter().all(|row| row.freshness.is_fresh()));
    desk.connection(0, "local", ConnectionState::Down { why: "reset".to_owned(), heard: None });
    let rows = deck::needs(&desk.state).rows;
    assert!(!rows.is_empty() && rows.iter().all(|row| !row.freshness.is_fresh()), "{rows:?}");
}

#[test]
fn reconnecting_tries_what_is_lost() {
    let mut desk = Desk::new();
    desk.key("ctrl-r");
    assert_eq!((desk.did(), desk.notice()), (Vec::new(), "reconnect: every server is connected"));
    desk.connection(0, "local", ConnectionState::Down { why: "reset".to_owned(), heard: None });
    desk.key("ctrl-r");
    assert_eq!((desk.did(), desk.notice()), (vec![Effect::Reconnect { connection: 0 }], "trying local"));
}

#[test]
fn a_sequence_that_leads_nowhere_is_said() {
    let mut desk = Desk::new();
    desk.key("g");
    assert_eq!((desk.notice(), desk.state.sequence.len()), ("", 1));
    desk.key("x");
    assert_eq!(desk.notice(), "`g x` does nothing on this page; ? shows what does");
    assert!(desk.state.sequence.is_empty());
    desk.keys("g esc");
    assert_eq!((desk.notice(), desk.state.sequence.len()), ("", 0));
}

#[test]
fn text_that_is_pasted_on_a_page_is_ignored_with_a_word() {
    let mut desk = Desk::new();
    desk.send(Event::Paste("zzz".to_owned()));
    assert!(desk.did().is_empty());
    assert_eq!(desk.notice(), "pasted text was ignored: nothing takes text here");
}
