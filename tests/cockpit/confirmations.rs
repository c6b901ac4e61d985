//! What a confirmation asks, ignores and refuses.

use super::world::*;
use flightdeck::cockpit::app::dialog::Field;
use flightdeck::cockpit::app::{ConnectionState, Effect, Event, confirm};
use flightdeck::model::*;

fn down() -> ConnectionState {
    ConnectionState::Down { why: "connection refused".to_owned(), heard: None }
}

#[test]
fn promoting_opens_at_once_and_asks_when_the_live_object_was_read() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    assert!(desk.dialog().is_asking(), "it takes the keys from now on");
    let asked = desk.asked();
    let [(token, query)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(*query, Query::Prepare { action: Action::Promote, subject: Subject::Run(run("checkout")) });
    // The server saw a newer generation than the row.
    let mut prepared = desk.prepared(query, Decision::Allow { friction: Friction::Yes });
    prepared.pin = Some(facts("checkout", 1, 9).pin(Action::Promote));
    desk.wait(20);
    desk.send(Event::Reply { token: *token, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared.clone())))) });
    assert_eq!(desk.dialog().items[0].target, "checkout in production (local)");
    assert_eq!(desk.dialog().shown, Some(desk.now), "it says something new from here on");
    desk.key("y");
    let submitted = desk.submitted();
    let [(_, command)] = submitted.as_slice() else { panic!("{submitted:?}") };
    assert_eq!((command.action, &command.subject), (Action::Promote, &Subject::Run(run("checkout"))));
    assert_eq!(command.pin, prepared.pin, "the pin of the live object");
    assert!(command.id.0.starts_with("s1-"), "{:?}", command.id);
    assert!(desk.state.dialog().is_none());
}

#[test]
fn the_target_is_frozen_at_the_key_press_and_no_key_reaches_the_page_below() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    let asked = desk.asked();
    desk.keys("j y enter z");
    assert!(desk.said().contains("the server is still asked"), "{}", desk.said());
    assert_eq!(desk.did(), []);
    let prepared = desk.prepared(&asked[0].1, Decision::Allow { friction: Friction::Yes });
    desk.send(Event::Reply { token: asked[0].0, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared)))) });
    assert_eq!(desk.selected(), Some("checkout"));
    assert_eq!(desk.dialog().items[0].subject, Subject::Run(run("checkout")));
}

#[test]
fn keys_count_once_a_dialog_was_on_the_screen_for_300_ms() {
    for action in ["p", "a"] {
        for (millis, sent) in [(16, false), (299, false), (300, true), (5000, true)] {
            let mut desk = Desk::new();
            desk.select("checkout");
            desk.key(action);
            desk.allow(&Friction::Yes);
            desk.state.visible_changed = false;
            desk.press("y", millis);
            assert_eq!(!desk.submitted().is_empty(), sent, "{action} {millis} ms");
            if !sent {
                let said = format!("`y` was ignored: it came {millis} ms after this was shown, and counts after 300");
                assert_eq!(desk.said(), said);
                assert!(desk.state.visible_changed);
            }
        }
    }
}

#[test]
fn time_on_the_screen_counts_from_when_it_was_drawn() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.wait(300);
    // A screen that is slow to draw: the key opened it long ago.
    let now = desk.now;
    flightdeck::cockpit::app::update(&mut desk.state, Event::Key("a".into()), now);
    desk.wait(2000);
    desk.send(Event::Drawn);
    desk.press("y", 200);
    assert!(desk.submitted().is_empty(), "it was seen for 200 ms");
    desk.press("y", 300);
    assert_eq!(desk.submitted().len(), 1);
}

#[test]
fn keys_that_come_at_once_do_nothing_but_move() {
    // Each of these would act if it was typed: pause, abort and yes, promote, a challenge with Enter, quit.
    for burst in ["z z", "a y", "a y y y", "p a y enter", ": a b o r t enter", "q q", "/ x enter z"] {
        let mut desk = Desk::new();
        desk.select("checkout");
        desk.wait(300);
        desk.burst(burst);
        assert_eq!(desk.did(), [], "{burst}");
        assert!(desk.state.overlay.is_none(), "{burst}");
        assert!(desk.notice().ends_with("did nothing: they came at once, as pasted text does"), "{burst}");
    }
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.wait(300);
    desk.burst("j j k");
    assert_eq!((desk.selected(), desk.notice()), (Some("payments"), ""), "a key held down moves");
    desk.wait(300);
    desk.burst("g g");
    assert_eq!(desk.selected(), Some("checkout"));
}

#[test]
fn a_paste_over_a_slow_line_is_a_burst_too() {
    for text in ["zero downtime", "yours", "ay", "zy", "quit"] {
        for over_a_dialog in [false, true] {
            let mut desk = Desk::new();
            desk.select("checkout");
            if over_a_dialog {
                desk.keys("a");
                desk.did();
            }
            desk.wait(2000);
            for c in text.chars() {
                desk.wait(1);
                desk.send(Event::Key(c.to_string().as_str().into()));
            }
            desk.wait(100);
            desk.send(Event::Wake);
            let did = desk.did();
            let acted = did.iter().any(|effect| matches!(effect, Effect::Submit { .. } | Effect::Quit));
            assert!(!acted, "{text:?}, over a dialog: {over_a_dialog}: {did:?}");
        }
    }
}

#[test]
fn a_key_that_acts_at_once_does_so_when_nothing_follows_it() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.wait(300);
    desk.send(Event::Key("z".into()));
    assert!(desk.submitted().is_empty(), "not yet known to be alone");
    desk.wait(15);
    desk.send(Event::Wake);
    assert_eq!(desk.submitted()[0].1.action, Action::Pause);
}

#[test]
fn a_slow_line_does_not_eat_a_challenge_and_no_burst_is_one() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    desk.allow(&Friction::Challenge("pay 2→9".to_owned()));
    desk.wait(400);
    for together in ["p a y", "space 2", "- > 9"] {
        desk.wait(200);
        desk.burst(together);
    }
    assert_eq!(desk.dialog().challenge.text, "pay 2->9");
    desk.wait(200);
    desk.burst("enter enter");
    assert!(desk.submitted().is_empty(), "Enter has to come alone");
    desk.key("enter");
    assert_eq!(desk.submitted().len(), 1);
    desk.key("p");
    desk.allow(&Friction::Challenge("pay 2→9".to_owned()));
    desk.wait(400);
    desk.burst("p a y space 2 - > 9 enter");
    assert_eq!(desk.submitted(), []);
    assert_eq!(desk.dialog().challenge.text, "");
}

#[test]
fn esc_and_n_leave_without_sending() {
    for key in ["esc", "n"] {
        let mut desk = Desk::new();
        desk.select("checkout");
        desk.key("a");
        desk.key(key);
        assert!(desk.state.dialog().is_none());
        assert!(desk.submitted().is_empty());
        // Also within the 300 ms: leaving harms nobody.
        desk.key("p");
        desk.allow(&Friction::Yes);
        desk.key(key);
        assert!(desk.state.dialog().is_none() && desk.submitted().is_empty());
    }
}

#[test]
fn pasted_text_is_ignored_with_a_word_in_every_dialog() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("a");
    desk.send(Event::Paste("y".to_owned()));
    assert!(desk.submitted().is_empty());
    assert_eq!(desk.said(), "pasted text was ignored: a confirmation is typed");
    desk.keys("esc p");
    desk.allow(&Friction::Challenge("checkout 25→50".to_owned()));
    desk.wait(400);
    desk.send(Event::Paste("checkout 25→50".to_owned()));
    assert_eq!((desk.dialog().challenge.text.as_str(), desk.said().is_empty()), ("", false));
    desk.key("enter");
    assert!(desk.submitted().is_empty());
}

#[test]
fn a_key_that_means_nothing_in_a_dialog_is_answered() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("a");
    for key in ["p", "enter", "Y", "space", "ctrl-r", "1"] {
        desk.key(key);
        assert_eq!(desk.said(), format!("`{key}` does nothing here: y to abort, Esc to leave"));
        assert!(desk.submitted().is_empty());
    }
}

#[test]
fn a_challenge_must_be_typed_exactly() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    desk.allow(&Friction::Challenge("checkout 25→50".to_owned()));
    desk.wait(400);
    desk.key("y");
    desk.key("enter");
    assert!(desk.submitted().is_empty());
    assert_eq!(desk.said(), "to promote, type exactly: checkout 25→50   (-> will do for →)");
    desk.key("backspace");
    desk.type_text("checkout 25->50");
    desk.key("enter");
    assert_eq!(desk.submitted().len(), 1);
}

#[test]
fn a_reason_is_asked_for_where_the_friction_says_so() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    desk.allow(&Friction::ChallengeAndReason("override".to_owned()));
    desk.wait(400);
    desk.type_text("override");
    desk.key("enter");
    assert!(desk.submitted().is_empty());
    assert_eq!((desk.said(), desk.dialog().field), ("to promote, give a reason", Field::Reason));
    desk.type_text("quota raised by hand");
    desk.key("enter");
    let submitted = desk.submitted();
    assert_eq!(submitted[0].1.reason.as_deref(), Some("quota raised by hand"));
}

#[test]
fn the_reason_of_a_reducing_action_is_optional_and_reached_by_tab() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.keys("a tab");
    desk.type_text("yes, yes: 4 % errors");
    assert!(desk.submitted().is_empty(), "a y in the reason is text");
    desk.keys("tab y");
    let submitted = desk.submitted();
    assert_eq!(submitted[0].1.reason.as_deref(), Some("yes, yes: 4 % errors"));
    desk.keys("a tab");
    desk.type_text("again");
    desk.key("enter");
    assert_eq!(desk.submitted()[0].1.reason.as_deref(), Some("again"), "Enter in the reason sends too");
    desk.keys("a y");
    assert_eq!(desk.submitted()[0].1.reason, None);
}

#[test]
fn a_pinned_fact_that_changes_disables_yes_until_it_is_opened_again() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    desk.allow(&Friction::Yes);
    desk.wait(400);
    let mut moved = row("checkout", Phase::Progressing);
    moved.facts = facts("checkout", 2, 8);
    desk.state.visible_changed = false;
    desk.upsert(Entity::Rollout(std::sync::Arc::new(moved)));
    assert!(desk.state.visible_changed);
    let why = confirm::blocked(&desk.state, desk.dialog()).unwrap();
    assert_eq!(why, "step was 1, is 2; ctrl-r opens it as it is now");
    desk.key("y");
    assert!(desk.submitted().is_empty());
    assert_eq!(desk.said(), why);
    // Back to what it was does not help: it has been something else meanwhile.
    desk.upsert(rollout("checkout", Phase::Progressing));
    desk.key("y");
    assert!(desk.submitted().is_empty());
    desk.keys("esc p");
    desk.allow(&Friction::Yes);
    desk.wait(400);
    desk.key("y");
    assert_eq!(desk.submitted().len(), 1);
}

#[test]
fn an_update_that_is_older_than_what_was_read_is_no_change() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    let asked = desk.asked();
    let mut prepared = desk.prepared(&asked[0].1, Decision::Allow { friction: Friction::Yes });
    prepared.pin = Some(facts("checkout", 2, 9).pin(Action::Promote));
    desk.send(Event::Reply { token: asked[0].0, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared)))) });
    // The updates that led there come after the answer.
    for (step, generation) in [(1, 8), (2, 9)] {
        let mut late = row("checkout", Phase::Progressing);
        late.facts = facts("checkout", step, generation);
        desk.upsert(Entity::Rollout(std::sync::Arc::new(late)));
        assert_eq!(confirm::blocked(&desk.state, desk.dialog()), None);
    }
    let mut moved = row("checkout", Phase::Progressing);
    moved.facts = facts("checkout", 2, 10);
    desk.upsert(Entity::Rollout(std::sync::Arc::new(moved)));
    assert!(confirm::blocked(&desk.state, desk.dialog()).unwrap().starts_with("generation was 9, is 10"));
}

#[test]
fn a_moving_step_does_not_void_an_abort_but_another_candidate_does() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("a");
    let mut moved = row("checkout", Phase::Progressing);
    moved.facts = facts("checkout", 2, 8);
    desk.upsert(Entity::Rollout(std::sync::Arc::new(moved.clone())));
    assert_eq!(confirm::blocked(&desk.state, desk.dialog()), None);
    moved.facts = facts("checkout", 0, 9).with(Fact::Candidate, "sha256:other");
    desk.upsert(Entity::Rollout(std::sync::Arc::new(moved)));
    let why = confirm::blocked(&desk.state, desk.dialog()).unwrap();
    assert!(why.starts_with("candidate was sha256:new, is sha256:other"), "{why}");
    desk.key("y");
    assert!(desk.submitted().is_empty());
}

#[test]
fn the_pin_of_a_reducing_action_is_what_the_row_showed() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("a");
    let asked = desk.asked();
    let mut prepared = desk.prepared(&asked[0].1, Decision::Allow { friction: Friction::Yes });
    prepared.pin = Some(facts("checkout", 1, 8).with(Fact::Candidate, "sha256:other").pin(Action::Abort));
    desk.send(Event::Reply { token: asked[0].0, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared)))) });
    let why = confirm::blocked(&desk.state, desk.dialog()).unwrap();
    assert!(why.starts_with("candidate was sha256:new, is sha256:other"), "{why}");
    desk.keys("esc a");
    let asked = desk.asked();
    let mut prepared = desk.prepared(&asked[0].1, Decision::Allow { friction: Friction::Yes });
    prepared.pin = Some(facts("checkout", 1, 8).with(Fact::Approval, "A-9").pin(Action::Abort));
    desk.send(Event::Reply { token: asked[0].0, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared)))) });
    desk.key("y");
    assert_eq!(desk.submitted()[0].1.pin, Some(facts("checkout", 1, 7).pin(Action::Abort)));
}

#[test]
fn a_reducing_dialog_opens_at_once_and_takes_the_warnings_when_they_come() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("a");
    assert_eq!((desk.dialog().friction.clone(), desk.dialog().forecasts().count()), (Friction::Yes, 0));
    let asked = desk.asked();
    // However much the server asks: aborting takes a y.
    let friction = Friction::Challenge("checkout".to_owned());
    let mut prepared = desk.prepared(&asked[0].1, Decision::Allow { friction });
    prepared.direction = Direction::Raises;
    prepared.forecast.warnings.push("stable 2 of 7 ready".to_owned());
    desk.send(Event::Reply { token: asked[0].0, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared)))) });
    assert_eq!(desk.dialog().friction, Friction::Yes);
    let warnings: Vec<_> = desk.dialog().forecasts().flat_map(|forecast| &forecast.warnings).collect();
    assert_eq!(warnings, ["stable 2 of 7 ready"]);
    desk.key("y");
    assert_eq!(desk.submitted().len(), 1);
}

#[test]
fn a_roll_back_that_raises_exposure_asks_for_more() {
    let mut desk = Desk::new();
    desk.select("search");
    desk.key("b");
    let asked = desk.asked();
    let friction = Friction::Challenge("search 1.0.0".to_owned());
    let mut prepared = desk.prepared(&asked[0].1, Decision::Allow { friction: friction.clone() });
    prepared.direction = Direction::Raises;
    desk.send(Event::Reply { token: asked[0].0, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared)))) });
    assert_eq!((desk.dialog().direction, desk.dialog().friction.clone()), (Direction::Raises, friction));
    desk.press("y", 100);
    assert!(desk.submitted().is_empty() && desk.said().contains("was ignored"), "{}", desk.said());
}

#[test]
fn a_lost_connection_disables_what_raises_and_not_what_reduces() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    desk.allow(&Friction::Yes);
    desk.wait(400);
    desk.connection(0, "local", down());
    desk.key("y");
    assert!(desk.submitted().is_empty());
    assert_eq!(desk.said(), "local is not connected; nothing that raises exposure is sent");
    desk.keys("esc a y");
    assert_eq!(desk.submitted().len(), 1, "an abort is sent all the same");
}

#[test]
fn what_is_refused_beforehand_says_why_and_takes_no_yes() {
    let refusal = Refusal::new(RefusalKind::Denied, "you lack the role sre");
    for (decision, why) in [
        (Decision::Refuse(refusal), "you lack the role sre"),
        (Decision::Needs(vec!["scan".to_owned(), "sbom".to_owned()]), "evidence is missing: scan, sbom"),
    ] {
        let mut desk = Desk::new();
        desk.select("checkout");
        desk.key("p");
        let asked = desk.asked();
        let prepared = desk.prepared(&asked[0].1, decision);
        desk.send(Event::Reply { token: asked[0].0, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared)))) });
        // It stays open: what is typed for it must not reach the page below.
        assert_eq!(confirm::blocked(&desk.state, desk.dialog()).as_deref(), Some(why));
        desk.keys("y enter p");
        assert_eq!(desk.did(), []);
    }
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    let asked = desk.asked();
    desk.send(Event::Reply { token: asked[0].0, reply: Err("timed out".to_owned()) });
    let why = confirm::blocked(&desk.state, desk.dialog());
    assert_eq!(why.as_deref(), Some("the server could not be asked: timed out"));
}

#[test]
fn a_question_without_an_answer_does_not_lock_out_an_abort() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("a");
    let asked = desk.asked();
    desk.send(Event::Reply { token: asked[0].0, reply: Err("timed out".to_owned()) });
    desk.key("y");
    assert_eq!(desk.submitted().len(), 1);
}

#[test]
fn leaving_while_the_answer_is_awaited_takes_the_wish_back() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    let asked = desk.asked();
    desk.key("esc");
    assert!(desk.state.dialog().is_none());
    desk.key("/");
    let prepared = desk.prepared(&asked[0].1, Decision::Allow { friction: Friction::Yes });
    desk.send(Event::Reply { token: asked[0].0, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared)))) });
    assert!(desk.state.dialog().is_none());
}

#[test]
fn names_with_hidden_characters_are_not_confirmed_when_exposure_rises() {
    let mut desk = Desk::new();
    let mut odd = row("checkout", Phase::Progressing);
    odd.service = "check\u{fffd}out".into();
    desk.upsert(Entity::Rollout(std::sync::Arc::new(odd)));
    desk.select("check\u{fffd}out");
    desk.key("p");
    desk.allow(&Friction::Yes);
    desk.wait(400);
    desk.key("y");
    assert!(desk.submitted().is_empty());
    assert_eq!(desk.said(), "a name here holds characters that can't be seen");
}

#[test]
fn pausing_is_sent_at_once_with_the_pin_of_the_row() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("z");
    let did = desk.did();
    let [Effect::Submit { connection: 0, command, .. }] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!((command.action, &command.subject), (Action::Pause, &Subject::Run(run("checkout"))));
    assert_eq!(command.pin, Some(facts("checkout", 1, 7).pin(Action::Pause)));
    assert!(desk.state.dialog().is_none());
    assert_eq!(desk.notice(), "pause checkout in production (local): sending");
}

#[test]
fn several_marked_rows_are_paused_each_with_its_own_pin() {
    let mut desk = Desk::new();
    desk.upsert(rollout("catalog", Phase::Progressing));
    desk.select("catalog");
    desk.key("space");
    desk.select("checkout");
    desk.key("space");
    desk.key("z");
    let submitted = desk.submitted();
    let subjects: Vec<_> = submitted.iter().map(|(_, command)| command.subject.clone()).collect();
    assert_eq!(subjects, [Subject::Run(run("catalog")), Subject::Run(run("checkout"))]);
    assert_eq!(submitted[0].1.pin, Some(facts("catalog", 1, 7).pin(Action::Pause)));
    assert_ne!(submitted[0].1.id, submitted[1].1.id);
    assert!(desk.state.deck.marks.is_empty(), "what was done is unmarked");
}

#[test]
fn what_works_on_one_row_only_says_so_while_rows_are_marked() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.select("payments");
    desk.keys("space u");
    assert!(desk.did().is_empty());
    assert!(desk.notice().contains("works on one row at a time"), "{}", desk.notice());
}

#[test]
fn a_marked_row_that_does_not_take_the_action_stops_the_whole() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("space");
    desk.select("search");
    desk.keys("space z");
    assert!(desk.did().is_empty());
    assert_eq!(desk.notice(), "search is marked; pause: search in production has no rollout in flight: 1.0.0 serves");
}
