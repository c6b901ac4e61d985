//! The Deck: selection, marks, filter, order.

use super::world::*;
use flightdeck::board::Order;
use flightdeck::cockpit::app::pages::{approvals, deck};
use flightdeck::cockpit::app::state::{DeckPanel, Overlay};
use flightdeck::cockpit::app::{Event, Page};
use flightdeck::cockpit::app::{dispatch, run};
use flightdeck::model::*;

#[test]
fn keys_move_the_selection() {
    let mut desk = Desk::empty();
    for n in 0..100 {
        desk.upsert(rollout(&format!("s{n:02}"), Phase::Healthy));
    }
    desk.look();
    let height = deck::window(&desk.state).rows.len();
    for (keys, at) in [
        ("j", 1),
        ("j down", 3),
        ("k", 2),
        ("k k k", 0),
        ("G", 99),
        ("j", 99),
        ("g g", 0),
        ("ctrl-f", height / 2 * 2),
        ("ctrl-b", 0),
        ("ctrl-d", height / 2),
        ("ctrl-u", 0),
        ("pgdn", height / 2 * 2),
        ("pgup", 0),
        ("end", 99),
        ("home", 0),
    ] {
        desk.keys(keys);
        assert_eq!(desk.selected(), Some(format!("s{at:02}").as_str()), "{keys}");
    }
    assert!(desk.submitted().is_empty(), "moving sends nothing");
}

#[test]
fn only_the_rows_of_the_screen_are_built_and_they_hold_the_selection() {
    let mut desk = Desk::empty();
    for n in 0..5000 {
        desk.upsert(rollout(&format!("s{n:04}"), Phase::Healthy));
    }
    desk.keys("G");
    let window = deck::window(&desk.state);
    assert!(window.rows.len() < 36, "{} rows for 36 lines", window.rows.len());
    assert_eq!((window.matching, window.total), (5000, 5000));
    assert_eq!(window.top + window.rows.len(), 5000);
    assert_eq!(window.selected, Some(window.rows.len() - 1));
    // Up by one does not scroll.
    let top = window.top;
    desk.key("k");
    assert_eq!(deck::window(&desk.state).top, top);
}

#[test]
fn the_selection_sticks_to_its_target_when_rows_move() {
    let mut desk = Desk::new();
    assert_eq!(desk.shown(), ["checkout", "payments", "search"]);
    desk.select("payments");
    // It becomes the most dangerous, then others come before it.
    desk.upsert(rollout("payments", Phase::RollingBack));
    assert_eq!(desk.shown(), ["payments", "checkout", "search"]);
    assert_eq!(desk.selected(), Some("payments"));
    desk.upsert(rollout("aaa", Phase::RollingBack));
    assert_eq!(desk.selected(), Some("payments"));
    // A newer run of it is the same target.
    let mut newer = row("payments", Phase::Progressing);
    newer.run.revision = "r2".to_owned();
    desk.upsert(Entity::Rollout(std::sync::Arc::new(newer)));
    assert_eq!(desk.selected(), Some("payments"));
}

#[test]
fn a_cursor_whose_row_is_gone_acts_on_nothing() {
    let mut desk = Desk::new();
    desk.select("payments");
    desk.remove(EntityRef::Rollout(target("payments")));
    assert_eq!(desk.shown(), ["checkout", "search"]);
    assert_eq!(desk.selected(), None);
    for key in ["a", "z", "p", "b"] {
        desk.key(key);
        assert!(desk.did().is_empty(), "{key} did something");
        assert!(desk.notice().contains("local/production/payments is no longer in the list"), "{}", desk.notice());
        assert!(desk.state.dialog().is_none());
    }
    // The first step goes to where it was.
    desk.key("j");
    assert_eq!(desk.selected(), Some("search"));
}

#[test]
fn an_entry_that_is_over_is_selected_no_more_and_tab_goes_to_the_first() {
    let mut desk = Desk::new();
    assert_eq!(deck::needs(&desk.state).selected, Some(0), "payments is paused");
    desk.upsert(rollout("payments", Phase::Healthy));
    desk.upsert(rollout("search", Phase::Degraded));
    desk.look();
    assert_eq!(deck::needs(&desk.state).selected, None);
    desk.key("tab");
    assert_eq!(deck::needs(&desk.state).selected, Some(0));
    assert_eq!(dispatch::selected_rollout(&desk.state).map(|row| row.service.as_str()), Some("search"));
    // It is over while keys are there: they act on nothing that is not shown.
    desk.upsert(rollout("search", Phase::Healthy));
    desk.upsert(rollout("payments", Phase::Paused));
    desk.look();
    assert_eq!((deck::needs(&desk.state).selected, dispatch::selected_rollout(&desk.state)), (None, None));
    desk.keys("b enter");
    assert_eq!((desk.notice(), desk.state.page), ("no entry is selected", Page::Deck));
    assert!(desk.state.dialog().is_none());
}

#[test]
fn the_first_row_is_that_of_all_sources_once_each_has_told() {
    for early in [false, true] {
        let mut desk = Desk::empty();
        desk.body(0, "east", "", Body::Link(LinkState::Connecting));
        desk.upsert(rollout("search", Phase::Healthy));
        desk.look();
        assert_eq!(desk.selected(), Some("search"));
        // Whoever has pressed a key has seen what is selected.
        if early {
            desk.key("s");
        }
        desk.upsert(rollout("payments", Phase::RollingBack));
        desk.look();
        assert_eq!(desk.selected(), Some(if early { "search" } else { "payments" }));
        desk.live(0, "east");
        desk.upsert(rollout("checkout", Phase::RollingBack));
        desk.look();
        assert_eq!(desk.selected(), Some(if early { "search" } else { "payments" }), "from here on it stays");
    }
}

#[test]
fn the_first_row_is_selected_once_and_not_again() {
    let mut desk = Desk::empty();
    assert_eq!(desk.selected(), None);
    desk.upsert(rollout("search", Phase::Healthy));
    desk.look();
    assert_eq!(desk.selected(), Some("search"));
    desk.upsert(rollout("checkout", Phase::Progressing));
    assert_eq!(desk.shown(), ["checkout", "search"]);
    assert_eq!(desk.selected(), Some("search"));
}

#[test]
fn the_filter_applies_while_typing_and_esc_brings_the_old_one_back() {
    let mut desk = Desk::new();
    desk.key("/");
    desk.type_text("phase:paused");
    assert_eq!(desk.shown(), ["payments"]);
    assert_eq!(desk.selected(), Some("payments"), "what matches is selected");
    desk.key("enter");
    assert!(desk.state.overlay.is_none());
    assert_eq!(desk.state.deck.filter, "phase:paused");
    desk.key("/");
    desk.keys("ctrl-u");
    desk.type_text("sea");
    assert_eq!(desk.shown(), ["search"]);
    desk.key("esc");
    assert_eq!((desk.state.deck.filter.as_str(), desk.shown()), ("phase:paused", vec!["payments"]));
    desk.key("esc");
    assert_eq!((desk.state.deck.filter.as_str(), desk.shown().len()), ("", 3), "Esc on the Deck clears the filter");
}

#[test]
fn what_is_pasted_into_the_filter_is_typed_harmlessly() {
    let mut desk = Desk::new();
    desk.key("/");
    desk.send(Event::Paste("sear\u{1b}[31mch\n".to_owned()));
    assert_eq!(desk.state.deck.filter, "sear\u{fffd}[31mch ");
    assert!(matches!(desk.state.overlay, Some(Overlay::Filter { .. })), "a line feed accepts nothing");
}

#[test]
fn letters_typed_into_the_filter_are_no_commands() {
    let mut desk = Desk::new();
    desk.key("/");
    for key in ["a", "z", "p", "q", "H", "space", "1"] {
        desk.key(key);
    }
    assert!(desk.did().is_empty());
    assert_eq!(desk.state.deck.filter, "azpqH 1");
}

#[test]
fn marks_stick_to_targets_and_hidden_ones_are_counted() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("space");
    assert_eq!(desk.selected(), Some("checkout"), "marking stays");
    desk.keys("j space");
    assert_eq!(desk.state.deck.marks.len(), 2);
    desk.key("/");
    desk.type_text("payments");
    desk.key("enter");
    assert_eq!(dispatch::hidden_marks(&desk.state), 1);
    desk.key("z");
    assert!(desk.did().is_empty(), "what can't be seen is not acted on");
    assert!(desk.notice().contains("1 of 2 marked rows are hidden"), "{}", desk.notice());
    // Esc clears the filter first, the marks then.
    desk.keys("esc");
    assert_eq!((dispatch::hidden_marks(&desk.state), desk.state.deck.marks.len()), (0, 2));
    desk.keys("esc");
    assert!(desk.state.deck.marks.is_empty());
}

#[test]
fn a_second_space_unmarks() {
    let mut desk = Desk::new();
    desk.select("search");
    desk.keys("space");
    assert_eq!(desk.state.deck.marks.len(), 1);
    desk.keys("space");
    assert!(desk.state.deck.marks.is_empty(), "the last row stays selected");
}

#[test]
fn sorting_steps_through_the_orders_and_reverses() {
    let mut desk = Desk::new();
    desk.select("payments");
    desk.key("s");
    assert_eq!((desk.state.deck.order, desk.shown()), (Order::Service, vec!["checkout", "payments", "search"]));
    assert_eq!(desk.notice(), "sorted by service");
    desk.key("S");
    assert_eq!(desk.shown(), ["search", "payments", "checkout"]);
    assert_eq!(desk.selected(), Some("payments"));
    for _ in 1..Order::ALL.len() {
        desk.key("s");
    }
    assert_eq!(desk.state.deck.order, Order::Risk);
}

#[test]
fn settled_rows_can_be_left_out() {
    let mut desk = Desk::new();
    desk.key("t");
    assert_eq!(desk.shown(), ["checkout", "payments"]);
    assert_eq!(deck::window(&desk.state).total, 3);
    desk.key("t");
    assert_eq!(desk.shown().len(), 3);
}

#[test]
fn what_needs_you_has_a_cursor_of_its_own_and_opens_what_it_is_about() {
    let mut desk = Desk::new();
    desk.upsert(Entity::Approval(Box::new(approval("A-1", "checkout"))));
    desk.key("tab");
    assert_eq!(desk.state.deck.panel, DeckPanel::Needs);
    let words: Vec<_> =
        deck::needs(&desk.state).rows.iter().map(|row| (row.entry.name.clone(), row.entry.word)).collect();
    assert_eq!(words, [("checkout".to_owned(), "approval"), ("payments".to_owned(), "paused")]);
    desk.keys("g g enter");
    assert_eq!(desk.state.page, Page::Approvals);
    assert_eq!(approvals::selected(&desk.state).map(|approval| approval.id.as_str()), Some("A-1"));
    desk.keys("esc G enter");
    assert_eq!(desk.state.page, Page::Rollout);
    assert_eq!(desk.state.rollout.as_ref().map(|page| page.run.clone()), Some(run("payments")));
    desk.keys("esc");
    assert_eq!((desk.state.page, desk.state.deck.panel), (Page::Deck, DeckPanel::Needs));
}

#[test]
fn a_click_selects_and_a_click_on_the_footer_acts() {
    let mut desk = Desk::new();
    let list = dispatch::layout(&desk.state).list;
    desk.send(Event::Click { column: 10, row: list.y + 1 });
    assert_eq!(desk.selected(), Some("payments"));
    desk.send(Event::Click { column: 10, row: list.y + 20 });
    assert_eq!(desk.selected(), Some("payments"), "below the last row there is nothing");
    desk.send(Event::Scroll { lines: 1, at: (5, 15) });
    assert_eq!(desk.selected(), Some("search"));
    let hints = flightdeck::cockpit::app::hints::footer(&desk.state);
    let help = hints.iter().find(|hint| hint.label == "help").unwrap();
    desk.send(Event::Click { column: help.x + help.width - 1, row: 35 });
    assert!(matches!(desk.state.overlay, Some(Overlay::Help { .. })));
}

#[test]
fn samples_matter_only_where_they_are_seen() {
    let mut desk = Desk::new();
    let sample = |service: &str| {
        Body::Samples(vec![ArmSample {
            target: target(service),
            role: ArmRole::Candidate,
            version: "1.1.0".into(),
            at: start(),
            window_ms: 1000,
            requests: 10,
            errors: 0,
            p50_us: None,
            p95_us: None,
            p99_us: None,
        }])
    };
    for (keys, service, seen) in [
        ("1", "checkout", true),
        ("1", "gone", false),
        ("2", "checkout", false),
        ("6", "checkout", false),
        ("1 enter", "checkout", true),
        ("1 enter", "search", false),
    ] {
        desk.key("1");
        desk.select("checkout");
        desk.keys(keys);
        desk.state.visible_changed = false;
        desk.wait(1000);
        let mut body = sample(service);
        if let Body::Samples(samples) = &mut body {
            samples[0].at = desk.now;
        }
        desk.body(0, "local", "", body);
        assert_eq!(desk.state.visible_changed, seen, "{service} after {keys}");
    }
}

#[test]
fn updates_that_change_nothing_draw_nothing() {
    let mut desk = Desk::new();
    desk.state.visible_changed = false;
    desk.upsert(rollout("checkout", Phase::Progressing));
    assert!(!desk.state.visible_changed);
    desk.upsert(rollout("checkout", Phase::Paused));
    assert!(desk.state.visible_changed);
    desk.keys("6");
    desk.state.visible_changed = false;
    desk.upsert(rollout("checkout", Phase::Progressing));
    assert!(!desk.state.visible_changed, "the program's log shows no rollouts");
}

/// A frame is drawn between two updates that never pause for the wake of the first.
#[test]
fn the_first_row_is_selected_though_updates_never_pause() {
    let mut desk = Desk::empty();
    desk.upsert(rollout("checkout", Phase::Progressing));
    assert_eq!(desk.shown(), ["checkout"]);
    let note = Note {
        id: "N-1".into(),
        run: run("checkout"),
        at: desk.now,
        who: "bob".into(),
        text: "looks".into(),
        kind: NoteKind::Event,
    };
    desk.upsert(Entity::Note(note));
    assert_eq!(desk.selected(), Some("checkout"));
}

#[test]
fn a_hold_that_was_undone_from_outside_stands_in_the_header_and_in_needs_you() {
    use flightdeck::cockpit::app::header::header;
    let mut desk = Desk::new();
    let mut hold = hold("H-3");
    desk.upsert(Entity::Hold(hold.clone()));
    assert_eq!((header(&desk.state).holds[0].held, header(&desk.state).holds[0].undone), (1, 0));
    let note = "it goes on: somebody resumed it from outside".to_owned();
    hold.targets = vec![HoldTarget { run: run("checkout"), held: false, note, undone: true }];
    desk.upsert(Entity::Hold(hold));
    assert_eq!((header(&desk.state).holds[0].held, header(&desk.state).holds[0].undone), (0, 1));
    let needs = flightdeck::board::rank(&desk.state.board, desk.state.now);
    let entry = needs.iter().find(|entry| entry.word == "hold undone").expect("an entry");
    assert_eq!(entry.name, "H-3");
    assert!(entry.sentence.contains("somebody resumed it from outside; 0 still held"), "{}", entry.sentence);
}

#[test]
fn a_filter_selects_what_fits_best_and_keys_act_there() {
    let mut desk = Desk::empty();
    for (name, phase) in [
        ("api-gateway", Phase::Paused),
        ("gateway", Phase::Progressing),
        ("payments-gateway", Phase::Progressing),
        ("search", Phase::Progressing),
    ] {
        desk.upsert(rollout(name, phase));
    }
    desk.look();
    desk.select("search");
    // Another panel has the focus, on a row that the filter leaves out.
    desk.key("tab");
    assert_eq!(desk.state.deck.panel, DeckPanel::Needs);
    desk.key("/");
    desk.type_text("gateway");
    desk.key("enter");
    assert_eq!(desk.shown(), ["gateway", "payments-gateway", "api-gateway"], "what it is, then by risk");
    assert_eq!((desk.selected(), desk.state.deck.panel), (Some("gateway"), DeckPanel::Rollouts));
    desk.keys("a y");
    assert_eq!(desk.submitted()[0].1.subject, Subject::Run(run("gateway")));
    // Letters in order are no match: nothing is selected, and no key acts.
    desk.keys("/ ctrl-u");
    desk.type_text("gtw");
    desk.key("enter");
    assert_eq!((desk.shown(), desk.selected()), (vec![], None));
    desk.keys("a p z enter");
    assert_eq!(desk.did(), []);
    assert!(desk.state.dialog().is_none());
}

fn number(desk: &Desk, role: ArmRole, window_ms: u32, requests: u64) -> ArmSample {
    ArmSample {
        target: target("checkout"),
        role,
        version: "1.1.0".into(),
        at: desk.now,
        window_ms,
        requests,
        errors: 0,
        p50_us: None,
        p95_us: None,
        p99_us: None,
    }
}

#[test]
fn the_screen_is_drawn_again_once_numbers_get_old() {
    // The window, requests in it → seconds until its numbers are no longer of now.
    for (window_ms, requests, seconds) in [(1000, 10, Some(30)), (15_000, 10, Some(45)), (15_000, 0, None)] {
        // Its own charts have an age that ticks from then on; of a row alone nothing does.
        for selected in ["another", "checkout"] {
            let mut desk = Desk::empty();
            desk.upsert(rollout("another", Phase::Healthy));
            desk.upsert(rollout("checkout", Phase::Healthy));
            desk.look();
            desk.select(selected);
            let told = number(&desk, ArmRole::Stable, window_ms, requests);
            let after = |seconds| told.at + jiff::SignedDuration::from_secs(seconds);
            desk.body(0, "local", "", Body::Samples(vec![told.clone()]));
            desk.wait(100);
            assert_eq!(desk.state.wake, seconds.map(after), "{window_ms} ms, {requests} requests, {selected} selected");
            if let Some(seconds) = seconds {
                desk.now = after(seconds);
                desk.send(Event::Wake);
                let ticks = (selected == "checkout").then(|| after(seconds + 1));
                assert_eq!(desk.state.wake, ticks, "{window_ms} ms, {selected} selected");
            }
        }
    }
}

#[test]
fn pods_that_somebody_measures_are_asked_for_all_the_same() {
    for (pods, told) in [(None, true), (Some(PodNames::Workload("checkout".into())), false)] {
        let mut desk = Desk::empty();
        let Entity::Rollout(mut row) = rollout("checkout", Phase::Progressing) else { panic!("a rollout") };
        std::sync::Arc::make_mut(&mut row).arms.iter_mut().for_each(|arm| arm.pods.clone_from(&pods));
        desk.upsert(Entity::Rollout(row));
        desk.look();
        let sample = number(&desk, ArmRole::Candidate, 15_000, 10);
        desk.body(0, "local", "", Body::Samples(vec![sample]));
        desk.key("enter");
        assert!(run::measured(&desk.state));
        assert_eq!(run::told(&desk.state), told, "{pods:?}");
    }
}
