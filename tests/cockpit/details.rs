//! What is selected in full, what happened in one list, what the footer said; going back, scrolling, marking.

use super::world::*;
use flightdeck::board::{Severity, rank};
use flightdeck::cockpit::app::record::RecordLine;
use flightdeck::cockpit::app::state::{Over, RolloutPanel as P};
use flightdeck::cockpit::app::timeline::timeline;
use flightdeck::cockpit::app::{Effect, Event, Page};
use flightdeck::cockpit::app::{dispatch, panels};
use flightdeck::cockpit::app::{pages, record};
use flightdeck::model::*;
use std::sync::Arc;

fn note(id: &str, seconds: i64, who: &str, text: &str) -> Entity {
    Entity::Note(Note {
        id: id.to_owned(),
        run: run("checkout"),
        at: start() + jiff::SignedDuration::from_secs(seconds),
        who: who.to_owned(),
        text: text.to_owned(),
        kind: NoteKind::Event,
    })
}

fn opened() -> Desk {
    let mut desk = Desk::new();
    let long = format!("hook smoke failed: {}", "the answer was not what it should be; ".repeat(9));
    desk.upsert(note("n-1", 1, "system:engine", "step 1 of 4 began"));
    desk.upsert(note("n-2", 5, "system:engine", &long));
    desk.select("checkout");
    desk.keys("enter");
    desk
}

fn text(lines: &[RecordLine<'_>]) -> String {
    let words = lines.iter().map(|line| match line {
        RecordLine::Text(_, text) | RecordLine::Moment(_, _, text) => text.trim().to_owned(),
        _ => String::new(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_reason_is_added_to_the_command_that_is_selected_and_stands_with_it() {
    let command = |id: &str, action, subject, reason: Option<&str>| {
        let reason = reason.map(str::to_owned);
        receipt(&Command { id: id.into(), action, subject, pin: None, reason }, &[Stage::Requested])
    };
    let mut desk = opened();
    desk.keys("r");
    assert_eq!(desk.notice(), "add a reason: no command about it is known here");
    let abort = command("c-1", Action::Abort, Subject::Run(run("checkout")), None);
    desk.upsert(Entity::Receipt(Box::new(abort)));
    desk.did();
    desk.keys("r");
    assert!(desk.dialog().items[0].target.contains("abort"), "{:?}", desk.dialog().items);
    desk.allow(&Friction::None);
    desk.wait(400);
    desk.key("enter");
    assert!(desk.said().contains("give a reason"), "{}", desk.said());
    desk.send(Event::Paste("the disk\nwas full".to_owned()));
    desk.key("enter");
    let (_, sent) = desk.submitted().pop().unwrap();
    let to = Subject::Receipt { id: ReceiptId("c-1".to_owned()) };
    assert_eq!((sent.action, &sent.subject), (Action::Annotate, &to));
    assert_eq!((sent.reason.as_deref(), sent.pin), (Some("the disk was full"), None));

    let mut added = command("c-2", Action::Annotate, to, Some("the disk was full"));
    added.actor.name = "bob".to_owned();
    desk.upsert(Entity::Receipt(Box::new(added)));
    let sentences = |desk: &Desk| {
        let all = timeline(&desk.state, &run("checkout"));
        all.iter().map(|moment| moment.sentence(&desk.state)).collect::<Vec<_>>()
    };
    assert!(sentences(&desk).contains(&"adds to abort: the disk was full".to_owned()), "{:?}", sentences(&desk));
    // Beside the command itself, too; and what is added to is never an addition.
    desk.state.rollout.as_mut().unwrap().panel = P::Actions;
    let (of, _) = dispatch::selected_receipt(&desk.state).unwrap();
    assert_eq!(of.id.0, "c-1");
    desk.keys("G enter");
    assert!(text(&record::shown(&desk.state)).contains("bob: the disk was full"));
}

#[test]
fn enter_shows_the_selected_row_in_full_however_long_it_is() {
    let mut desk = opened();
    desk.keys("e enter");
    let page = desk.state.rollout.as_ref().unwrap();
    assert_eq!((page.panel, &page.over), (P::Timeline, &Some(Over::Record { top: 0 })));
    let shown = record::shown(&desk.state);
    assert!(text(&shown).contains("the answer was not what it should be; ".repeat(9).trim_end()), "{shown:?}");
    let widest = shown.iter().map(|line| text(std::slice::from_ref(line)).len()).max().unwrap();
    assert!(widest <= 120 - 2 - usize::from(record::NAME), "{widest}");
    // The other row, selected by hand.
    desk.keys("esc j enter");
    assert!(text(&record::shown(&desk.state)).contains("step 1 of 4 began"));
    // What is new stands above it and is not selected instead.
    desk.upsert(note("n-3", 9, "kubelet", "Pulled"));
    assert!(text(&record::shown(&desk.state)).contains("step 1 of 4 began"));
}

#[test]
fn what_happened_is_one_list_of_events_commands_and_approvals() {
    let mut desk = opened();
    let mut asked = approval("ap-1", "checkout");
    asked.votes.push(Vote {
        who: "carol".into(),
        verdict: Verdict::Approved,
        at: start() + jiff::SignedDuration::from_secs(7),
        reason: Some("looks fine".into()),
    });
    desk.upsert(Entity::Approval(Box::new(asked)));
    let command = Command {
        id: CommandId("c-1".into()),
        action: Action::Promote,
        subject: Subject::Run(run("checkout")),
        pin: None,
        reason: Some("numbers are good".into()),
    };
    let timed_out = Stage::TimedOut { last: "nothing moved".into() };
    desk.upsert(Entity::Receipt(Box::new(receipt(&command, &[Stage::Requested, timed_out]))));
    let told: Vec<String> = timeline(&desk.state, &run("checkout"))
        .iter()
        .map(|moment| format!("{}: {}", moment.who(), moment.sentence(&desk.state)))
        .collect();
    let begin = |text: &str| told.iter().position(|line| line.starts_with(text)).unwrap_or_else(|| panic!("{told:#?}"));
    assert_eq!(begin("carol: approves: looks fine"), 0);
    assert_eq!(begin("engine: hook smoke failed"), 1);
    assert!(begin("alice: asked to promote: numbers are good") > 2);
    assert!(begin("alice: promote is timed out: nothing moved") > 2);
    assert!(begin("bob: needs 1 yes, step 2 of 4") > 2);
}

#[test]
fn failing_instances_stand_first_and_say_why_before_their_deadline() {
    let mut desk = Desk::new();
    let failing = |reason: &str, instances| FailingInstances {
        reason: reason.to_owned(),
        instances,
        restarts: 12,
        detail: "exit status 3".to_owned(),
    };
    let mut row = row("search", Phase::Progressing);
    row.failing = vec![failing("CrashLoopBackOff", 4)];
    row.message = "4 pods: CrashLoopBackOff, exit status 3; 12 restarts".to_owned();
    desk.upsert(Entity::Rollout(Arc::new(row.clone())));
    let first = rank(&desk.state.board, desk.now).remove(0);
    assert_eq!((first.name.as_str(), first.severity, first.word), ("search", Severity::Failing, "failing"));
    assert!(first.sentence.starts_with("4 pods: CrashLoopBackOff"), "{}", first.sentence);
    // It came up after all.
    row.failing.clear();
    desk.upsert(Entity::Rollout(Arc::new(row)));
    assert!(rank(&desk.state.board, desk.now).iter().all(|entry| entry.name != "search"));
    // Aborted, and yet asked for still: nobody may forget that.
    let mut aborted = super::world::row("search", Phase::Aborted);
    aborted.still_asked = true;
    desk.upsert(Entity::Rollout(Arc::new(aborted)));
    let entry = rank(&desk.state.board, desk.now).into_iter().find(|entry| entry.name == "search").unwrap();
    assert_eq!((entry.severity, entry.word), (Severity::Failed, "aborted"));
    assert!(entry.sentence.contains("its description still asks for"), "{}", entry.sentence);
}

#[test]
fn failing_instances_are_the_first_of_their_panel() {
    let mut desk = opened();
    for (id, state) in [
        ("i-1", InstanceState::Ready),
        ("i-2", InstanceState::Starting),
        ("i-3", InstanceState::BackingOff { why: "exit status 3".into() }),
    ] {
        desk.upsert(Entity::Instance(Box::new(Instance {
            id: id.into(),
            target: target("checkout"),
            role: ArmRole::Candidate,
            version: "1.1.0".into(),
            state,
            pid: None,
            address: None,
            restarts: 0,
            started: None,
            logs: None,
            draining: None,
            limits: Vec::new(),
        })));
    }
    assert_eq!(panels::panel_keys(&desk.state, P::Instances), ["i-3", "i-2", "i-1"]);
}

#[test]
fn q_goes_back_and_ends_the_program_on_a_first_page_only() {
    let mut desk = opened();
    desk.keys("e enter q");
    assert!(desk.state.rollout.as_ref().unwrap().over.is_none());
    desk.key("q");
    assert_eq!(desk.state.page, Page::Deck);
    assert!(!desk.did().contains(&Effect::Quit));
    desk.keys("? q");
    assert!(desk.state.overlay.is_none());
    desk.key("q");
    assert_eq!(desk.did(), [Effect::Quit]);
    let mut desk = opened();
    desk.key("ctrl-c");
    assert!(desk.did().contains(&Effect::Quit));
}

#[test]
fn esc_and_a_quick_key_behind_it_are_two_keys() {
    let mut desk = opened();
    desk.key("alt-j");
    assert_eq!(desk.state.page, Page::Deck);
    // In a confirmation Esc leaves, and the key behind it is no yes to anything.
    desk.select("checkout");
    desk.did();
    desk.key("a");
    desk.allow(&Friction::Yes);
    desk.key("alt-y");
    assert!(desk.state.overlay.is_none());
    assert!(desk.submitted().is_empty());
}

#[test]
fn esc_drops_one_thing_at_a_time_and_says_what() {
    let mut desk = Desk::new();
    desk.keys("space j space /");
    assert_eq!(desk.state.deck.marks.len(), 2, "space marks and stays");
    desk.type_text("payments");
    desk.keys("enter esc");
    assert_eq!(desk.notice(), "dropped the filter /payments");
    assert_eq!(desk.state.deck.marks.len(), 2);
    desk.key("esc");
    assert_eq!((desk.notice(), desk.state.deck.marks.len()), ("unmarked 2 rows", 0));
}

#[test]
fn what_the_footer_said_can_be_read_again_in_full() {
    let mut desk = Desk::new();
    desk.key("X");
    let said = desk.notice().to_owned();
    desk.key("M");
    assert_eq!(desk.state.page, Page::Messages);
    assert!(text(&pages::messages::lines(&desk.state)).contains(&said), "{said}");
    desk.key("q");
    assert_eq!(desk.state.page, Page::Deck);
}

#[test]
fn the_wheel_moves_what_is_under_it_and_leaves_the_keys_where_they_are() {
    let mut desk = Desk::new();
    desk.upsert(Entity::Approval(Box::new(approval("ap-1", "search"))));
    desk.keys("g g tab g g tab");
    let (before, needs) = (desk.selected().map(str::to_owned), desk.state.deck.needs.key.clone());
    let area = dispatch::layout(&desk.state).needs.unwrap();
    desk.send(Event::Scroll { lines: 1, at: (area.x + 1, area.y) });
    assert_ne!(desk.state.deck.needs.key, needs);
    assert_eq!(desk.selected().map(str::to_owned), before);
    desk.key("j");
    assert_ne!(desk.selected().map(str::to_owned), before, "the keys are still with the list");
}

#[test]
fn a_filter_names_what_it_does_not_know_and_takes_times() {
    let mut desk = Desk::new();
    desk.key("/");
    desk.type_text("colour:red");
    desk.key("enter");
    assert!(desk.notice().starts_with("filter: there is no key colour: here; known: service:"), "{}", desk.notice());
    desk.keys("esc /");
    desk.type_text("since:soon");
    desk.key("enter");
    assert!(desk.notice().contains("since:soon: expected a time such as since:7d"), "{}", desk.notice());
    let mut old = row("search", Phase::Healthy);
    old.since = start() - jiff::SignedDuration::from_hours(24 * 8);
    old.started = old.since;
    old.message = "rolled out by the night shift".into();
    desk.upsert(Entity::Rollout(Arc::new(old)));
    for (filter, shown) in [
        ("since:7d", vec!["checkout", "payments"]),
        ("until:7d", vec!["search"]),
        ("since:2001-01-01 search", vec!["search"]),
        ("cause:night", vec!["search"]),
    ] {
        desk.keys("esc /");
        desk.type_text(filter);
        desk.key("enter");
        assert_eq!(desk.shown(), shown, "{filter}");
    }
}

#[test]
fn several_are_promoted_at_once_each_shown_pinned_and_answered_by_itself() {
    let mut desk = Desk::new();
    for service in ["a", "b", "c"] {
        desk.upsert(rollout(service, Phase::Paused));
    }
    for service in ["a", "b", "c"] {
        desk.select(service);
        desk.key("space");
    }
    desk.key("p");
    desk.allow(&Friction::Challenge("promote a in production".into()));
    assert_eq!(desk.dialog().items.len(), 3);
    assert_eq!(desk.dialog().friction, Friction::Challenge("promote 3".into()));
    desk.wait(400);
    desk.type_text("promote 3");
    desk.key("enter");
    let sent = desk.submitted();
    assert_eq!(sent.len(), 3);
    for ((_, command), service) in sent.iter().zip(["a", "b", "c"]) {
        assert_eq!(command.subject, Subject::Run(run(service)));
        assert!(command.pin.is_some());
    }
}

#[test]
fn more_than_a_window_shows_are_not_promoted_at_once() {
    let mut desk = Desk::new();
    for n in 0..30 {
        desk.upsert(rollout(&format!("s{n:02}"), Phase::Paused));
        desk.state.deck.marks.insert(target(&format!("s{n:02}")));
    }
    desk.key("p");
    assert_eq!(desk.notice(), "promote: 30 are marked and this window shows 24 at once; mark fewer");
    assert!(desk.submitted().is_empty());
}

#[test]
fn one_key_shows_what_failed_lately_and_everything_again() {
    let mut desk = Desk::new();
    let ended = |service: &str, outcome, days: i64| {
        let at = start() - jiff::SignedDuration::from_hours(24 * days);
        Entity::RolloutRecord(Arc::new(RolloutRecord {
            run: run(service),
            service: service.into(),
            called: None,
            environment: "production".into(),
            from: Some("1.0".into()),
            to: "1.1".into(),
            author: Some("bob".into()),
            writer: None,
            started: at,
            ended: at,
            outcome,
            cause: "because".into(),
            kind: DeploymentKind::Deploy,
            digest: None,
            commit_at: None,
            reached: None,
            rollback: None,
            waited: None,
            manual_steps: 0,
            steps: None,
            diagnosis: None,
        }))
    };
    desk.upsert(ended("a", DeploymentOutcome::Succeeded, 1));
    desk.upsert(ended("b", DeploymentOutcome::Failed, 1));
    desk.upsert(ended("c", DeploymentOutcome::RolledBack, 6));
    desk.upsert(ended("d", DeploymentOutcome::Failed, 8));
    let shown = |desk: &Desk| {
        let runs = pages::history::runs(&desk.state);
        runs.iter().map(|run| run.target.name.clone()).collect::<Vec<_>>()
    };
    desk.keys("4 f");
    assert_eq!(shown(&desk), ["b", "c"]);
    desk.key("f");
    assert_eq!(shown(&desk).len(), 4);
}
