//! Keys that can't act, and one's own commands on their way from requested to effective.

use super::world::*;
use flightdeck::cockpit::app::actions::availability;
use flightdeck::cockpit::app::command::Bound;
use flightdeck::cockpit::app::pages::deck;
use flightdeck::cockpit::app::state::{OwnProgress, Tone};
use flightdeck::cockpit::app::{ConnectionState, Event, Submitted, hints};
use flightdeck::model::*;

#[test]
fn a_key_that_cannot_act_is_dimmed_and_says_why() {
    struct Case {
        given: fn(&mut Desk),
        key: &'static str,
        action: Action,
        why: &'static str,
    }
    let cases = [
        Case {
            given: |desk| desk.select("search"),
            key: "p",
            action: Action::Promote,
            why: "promote: search in production has no rollout in flight: 1.0.0 serves",
        },
        Case {
            given: |desk| {
                desk.select("checkout");
                desk.stale("local", "connection refused");
                desk.wait(41_000);
                desk.send(Event::Wake);
            },
            key: "p",
            action: Action::Promote,
            why: "promote: local is stale for 41 s: connection refused",
        },
        Case {
            given: |desk| {
                desk.select("payments");
                desk.connection(0, "local", ConnectionState::Down { why: "gone".to_owned(), heard: None });
                desk.wait(3_000);
                desk.send(Event::Wake);
            },
            key: "u",
            action: Action::Resume,
            why: "resume: local is stale for 3 s: gone",
        },
        Case {
            given: |desk| {
                desk.select("checkout");
                desk.state.settings.read_only = true;
            },
            key: "a",
            action: Action::Abort,
            why: "abort: this cockpit is read-only",
        },
        Case {
            given: |desk| desk.remove(EntityRef::Rollout(target("checkout"))),
            key: "a",
            action: Action::Abort,
            why: "abort: local/production/checkout is no longer in the list; select a row",
        },
    ];
    for Case { given, key, action, why } in cases {
        let mut desk = Desk::new();
        given(&mut desk);
        desk.effects.clear();
        assert_eq!(availability(&desk.state, Bound::Act(action)), Err(why.to_owned()));
        let offered = hints::footer(&desk.state).into_iter().any(|hint| hint.key == key);
        assert!(!offered, "{key} is not offered, and says why when it is pressed all the same");
        desk.key(key);
        assert_eq!(desk.notice(), why);
        assert!(desk.did().is_empty() && desk.state.dialog().is_none(), "{key}");
    }
}

#[test]
fn an_abort_is_never_locked_out_by_a_stale_row() {
    let mut desk = Desk::new();
    desk.select("search");
    desk.keys("a");
    assert!(desk.state.dialog().is_none(), "live and healthy: there is nothing to abort");
    desk.stale("local", "connection refused");
    desk.wait(41_000);
    desk.keys("a y");
    assert_eq!(desk.submitted().len(), 1, "the row may be wrong: the server knows better");
}

#[test]
fn the_wrong_page_is_said() {
    let mut desk = Desk::new();
    desk.key("2");
    desk.key("a");
    assert!(desk.did().is_empty());
    assert_eq!(desk.notice(), "`a` does nothing on this page; ? shows what does");
    desk.keys("1 v");
    assert_eq!(desk.notice(), "`v` does nothing on this page; ? shows what does");
    assert_eq!(
        availability(&desk.state, Bound::Act(Action::Approve)),
        Err("approve works on the Approvals page".to_owned())
    );
}

#[test]
fn a_command_is_shown_from_requested_to_effective() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("z");
    let (token, command) = desk.submitted().remove(0);
    let own = |desk: &Desk| deck::window(&desk.state).rows[0].own.map(|own| own.progress.word());
    assert_eq!(own(&desk), Some("sending"));
    desk.outcome(token, Submitted::Taken(Box::new(receipt(&command, &[Stage::Requested]))));
    assert_eq!((own(&desk), desk.notice()), (Some("requested"), "pause checkout in production (local): requested"));
    let accepted = [Stage::Requested, Stage::Accepted];
    desk.upsert(Entity::Receipt(Box::new(receipt(&command, &accepted))));
    assert_eq!((own(&desk), desk.notice()), (Some("accepted"), "pause checkout in production (local): accepted"));
    let proof = Proof { text: "route 41 stands".to_owned() };
    let effective = [Stage::Requested, Stage::Accepted, Stage::Effective { proof }];
    desk.upsert(Entity::Receipt(Box::new(receipt(&command, &effective))));
    assert_eq!(own(&desk), Some("effective"));
    assert_eq!(desk.notice(), "pause checkout in production (local): effective: route 41 stands");
    assert_eq!(desk.state.notice.as_ref().map(|notice| notice.tone), Some(Tone::Good));
    // What comes late and says less changes nothing.
    desk.outcome(token, Submitted::Taken(Box::new(receipt(&command, &[Stage::Requested]))));
    assert_eq!(own(&desk), Some("effective"));
}

#[test]
fn a_command_stays_on_the_footer_until_its_end_is_known() {
    let mut desk = Desk::new();
    let said = |desk: &Desk| hints::under_way(&desk.state, desk.state.now);
    let keys = |desk: &Desk| hints::footer(&desk.state).len();
    let all = keys(&desk);
    desk.select("checkout");
    desk.key("z");
    let (token, command) = desk.submitted().remove(0);
    desk.outcome(token, Submitted::Taken(Box::new(receipt(&command, &[Stage::Requested, Stage::Sent]))));
    desk.wait(12_000);
    desk.send(Event::Wake);
    assert_eq!((desk.notice(), said(&desk).as_deref()), ("", Some("pause sent 12 s")));
    assert!(keys(&desk) < all, "it takes room from the keys");
    let effective = Stage::Effective { proof: Proof { text: "it stands".to_owned() } };
    desk.upsert(Entity::Receipt(Box::new(receipt(&command, &[Stage::Requested, Stage::Sent, effective]))));
    assert_eq!((said(&desk), keys(&desk)), (None, all));
}

#[test]
fn what_was_refused_not_sent_or_lost_is_said_and_never_sent_again() {
    let refusal = Refusal::new(RefusalKind::PinChanged, "it changed since you looked");
    for (outcome, word, notice) in [
        (
            Submitted::Refused(refusal),
            "refused",
            "pause checkout in production (local): refused: it changed since you looked",
        ),
        (
            Submitted::NotSent("no route".to_owned()),
            "not sent",
            "pause checkout in production (local): not sent: no route; nothing was done",
        ),
        (
            Submitted::Unknown("connection reset".to_owned()),
            "unknown",
            "pause checkout in production (local): it is not known whether it arrived (connection reset); watching for its effect",
        ),
    ] {
        let mut desk = Desk::new();
        desk.select("checkout");
        desk.key("z");
        let (token, command) = desk.submitted().remove(0);
        desk.outcome(token, outcome);
        assert_eq!((desk.state.commands[0].progress.word(), desk.notice()), (word, notice));
        assert!(desk.did().is_empty(), "never sent again");
        // A receipt may still come for what was lost.
        desk.upsert(Entity::Receipt(Box::new(receipt(&command, &[Stage::Requested, Stage::Accepted]))));
        assert_eq!(desk.state.commands[0].progress.word(), "accepted");
    }
}

#[test]
fn a_receipt_that_overtakes_the_answer_is_kept() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("z");
    let (token, command) = desk.submitted().remove(0);
    desk.upsert(Entity::Receipt(Box::new(receipt(&command, &[Stage::Requested, Stage::Sent, Stage::Accepted]))));
    desk.outcome(token, Submitted::Unknown("reset".to_owned()));
    assert!(matches!(&desk.state.commands[0].progress, OwnProgress::Receipt(r) if *r.stage() == Stage::Accepted));
}

#[test]
fn receipts_of_others_make_no_notice() {
    let mut desk = Desk::new();
    let command = Command {
        id: "other-1".into(),
        action: Action::Abort,
        subject: Subject::Run(run("checkout")),
        pin: None,
        reason: None,
    };
    desk.upsert(Entity::Receipt(Box::new(receipt(&command, &[Stage::Requested]))));
    assert_eq!((desk.notice(), desk.state.commands.len()), ("", 0));
}

#[test]
fn holding_the_line_names_its_scope_and_how_many_it_pauses() {
    let mut desk = Desk::new();
    let mut other = row("cart", Phase::Progressing);
    other.environment = "staging".into();
    desk.upsert(Entity::Rollout(std::sync::Arc::new(other)));
    desk.key("H");
    let item = &desk.dialog().items[0];
    assert_eq!(item.target, "everything on local");
    assert_eq!(item.change.as_deref(), Some("pauses 2 rollouts, 1 of 3 stand already"));
    desk.key("y");
    let submitted = desk.submitted();
    let Subject::Scope { selector, frozen, .. } = &submitted[0].1.subject else { panic!("{submitted:?}") };
    assert_eq!((selector, frozen.len(), submitted[0].1.action), (&Selector::default(), 3, Action::Hold));
    // With the filter on an environment: that one.
    desk.key("/");
    desk.type_text("env:prod");
    desk.keys("enter H");
    let item = &desk.dialog().items[0];
    assert_eq!(item.target, "environment=production on local");
    assert_eq!(item.change.as_deref(), Some("pauses 1 rollout, 1 of 2 stand already"));
}

#[test]
fn a_hold_reaches_every_server() {
    let mut desk = Desk::new();
    desk.connect(1, "remote");
    desk.live(1, "remote");
    desk.key("H");
    let targets: Vec<_> = desk.dialog().items.iter().map(|item| (item.connection, item.target.as_str())).collect();
    assert_eq!(targets, [(0, "everything on local"), (1, "everything on remote")]);
    desk.key("y");
    assert_eq!(desk.submitted().len(), 2);
}

#[test]
fn two_servers_that_tell_of_one_source_are_not_mixed() {
    let mut desk = Desk::new();
    desk.connect(1, "other");
    desk.body(1, "local", "", Body::Upsert(rollout("intruder", Phase::RollingBack)));
    assert!(desk.notice().contains("other tells of local too"), "{}", desk.notice());
    assert!(!desk.shown().contains(&"intruder"));
}
