//! The Approvals page.

use super::world::*;
use flightdeck::cockpit::app::Page;
use flightdeck::cockpit::app::actions::may_approve;
use flightdeck::cockpit::app::pages::approvals;
use flightdeck::cockpit::app::run;
use flightdeck::model::*;

fn with(approvals: &[Approval]) -> Desk {
    let mut desk = Desk::new();
    for approval in approvals {
        desk.upsert(Entity::Approval(Box::new(approval.clone())));
    }
    desk.key("2");
    desk.effects.clear();
    desk
}

fn ids(desk: &Desk) -> Vec<&str> {
    approvals::window(&desk.state).rows.iter().map(|row| row.approval.id.as_str()).collect()
}

#[test]
fn the_oldest_that_is_pending_comes_first_and_what_is_settled_last() {
    let mut late = approval("A-2", "payments");
    late.requested += jiff::SignedDuration::from_secs(60);
    let mut settled = approval("A-0", "search");
    settled.state = ApprovalState::Superseded { by: "r2".to_owned() };
    let mut low = approval("A-3", "search");
    low.environment = "dev".into();
    let desk = with(&[settled, late, approval("A-1", "checkout"), low]);
    assert_eq!(ids(&desk), ["A-1", "A-2", "A-3", "A-0"], "critical first");
}

#[test]
fn approving_asks_the_server_and_binds_the_approval() {
    let mut desk = with(&[approval("A-1", "checkout")]);
    assert_eq!(desk.state.page, Page::Approvals);
    desk.key("v");
    desk.allow(&Friction::Challenge("checkout 1.1.0".to_owned()));
    assert_eq!(desk.dialog().items[0].change.as_deref(), Some("1.0.0 → 1.1.0; step 2 of 4: then 50 % of traffic"));
    desk.wait(400);
    desk.type_text("checkout 1.1.0");
    desk.keys("tab");
    desk.type_text("looks good");
    desk.key("enter");
    let submitted = desk.submitted();
    let command = &submitted[0].1;
    assert_eq!(command.subject, Subject::Approval { id: "A-1".into(), run: run("checkout") });
    assert_eq!(command.reason.as_deref(), Some("looks good"));
    assert_eq!(command.pin.as_ref().and_then(|pin| pin.facts.get(&Fact::Approval)).map(String::as_str), Some("A-1"));
}

#[test]
fn rejecting_takes_one_y() {
    let mut desk = with(&[approval("A-1", "checkout")]);
    desk.keys("x y");
    let submitted = desk.submitted();
    assert_eq!(submitted[0].1.action, Action::Reject);
}

#[test]
fn an_approval_that_is_settled_meanwhile_says_what_it_became() {
    let mut settled = approval("A-1", "checkout");
    for (state, why) in [
        (ApprovalState::Approved, "approve: it is approved already"),
        (ApprovalState::Expired, "approve: it has expired"),
        (ApprovalState::Superseded { by: "1.2.0".to_owned() }, "approve: superseded by 1.2.0"),
    ] {
        settled.state = state;
        let mut desk = with(std::slice::from_ref(&settled));
        desk.key("v");
        assert_eq!(desk.notice(), why);
        assert!(desk.did().is_empty());
    }
}

#[test]
fn whether_you_may_is_said_beforehand() {
    let mut own = approval("A-1", "checkout");
    own.author = "alice".to_owned();
    let mut foreign = approval("A-1", "checkout");
    foreign.requirement.from = vec!["managers".to_owned()];
    let mut role = foreign.clone();
    role.requirement.from = vec!["sre".to_owned()];
    let mut voted = approval("A-1", "checkout");
    let yes = Vote { who: "alice".to_owned(), verdict: Verdict::Approved, at: start(), reason: None };
    voted.votes.push(yes);
    for (approval, why) in [
        (approval("A-1", "checkout"), None),
        (role, None),
        (own, Some("you asked for it yourself; somebody else has to say yes in production")),
        (foreign, Some("it needs managers, and you are alice")),
        (voted, Some("you said yes already, 2026-03-01T12:00:00Z")),
    ] {
        let mut desk = with(std::slice::from_ref(&approval));
        assert_eq!(may_approve(&desk.state, &approval).err().as_deref(), why);
        desk.key("v");
        assert_eq!(desk.asked().is_empty(), why.is_some());
        if let Some(why) = why {
            assert_eq!(desk.notice(), format!("approve: {why}"));
        }
    }
}

#[test]
fn several_are_approved_by_one_challenge_each_with_its_own_pin() {
    let mut desk = with(&[approval("A-1", "checkout"), approval("A-2", "payments")]);
    desk.keys("space j space v");
    desk.allow(&Friction::Yes);
    assert_eq!(desk.dialog().friction, Friction::Challenge("approve 2".to_owned()));
    desk.wait(400);
    desk.type_text("approve 2");
    desk.key("enter");
    let submitted = desk.submitted();
    let pins: Vec<_> =
        submitted.iter().filter_map(|(_, command)| command.pin.as_ref()?.facts.get(&Fact::Approval)).collect();
    assert_eq!(pins, ["A-1", "A-2"]);
}

#[test]
fn of_several_those_that_are_refused_are_left_out() {
    let mut desk = with(&[approval("A-1", "checkout"), approval("A-2", "payments")]);
    desk.keys("space j space v");
    let asked = desk.asked();
    for (n, (token, query)) in asked.into_iter().enumerate() {
        let decision = if n == 0 {
            Decision::Refuse(Refusal::new(RefusalKind::Denied, "not you"))
        } else {
            Decision::Allow { friction: Friction::Yes }
        };
        let prepared = desk.prepared(&query, decision);
        assert!(desk.dialog().is_asking(), "it takes no yes before all have answered");
        let reply = Ok(Box::new(Reply::Prepared(Box::new(prepared))));
        desk.send(flightdeck::cockpit::app::Event::Reply { token, reply });
    }
    assert_eq!(desk.dialog().items[0].problem().as_deref(), Some("not you"));
    desk.wait(400);
    desk.type_text("approve 1");
    desk.key("enter");
    assert_eq!(desk.submitted().len(), 1);
}

#[test]
fn enter_opens_the_rollout_and_esc_comes_back() {
    let mut desk = with(&[approval("A-1", "checkout")]);
    desk.key("enter");
    assert_eq!(
        (desk.state.page, run::opened(&desk.state).map(|r| r.run.clone())),
        (Page::Rollout, Some(run("checkout")))
    );
    desk.key("esc");
    assert_eq!(desk.state.page, Page::Approvals);
    desk.key("esc");
    assert_eq!(desk.state.page, Page::Deck);
}

#[test]
fn the_filter_finds_approvals_by_their_rollouts() {
    let mut desk = with(&[approval("A-1", "checkout"), approval("A-2", "payments"), approval("A-3", "gone")]);
    desk.key("/");
    desk.type_text("phase:paused");
    assert_eq!(ids(&desk), ["A-2"]);
    desk.keys("ctrl-u");
    desk.type_text("gone");
    assert_eq!(ids(&desk), ["A-3"], "one whose rollout is gone is found by its name");
    assert_eq!(desk.state.deck.filter, "", "the Deck has a filter of its own");
}

#[test]
fn whoever_comes_back_to_the_queue_stands_on_what_waits() {
    let mut desk = with(&[approval("A-1", "checkout")]);
    let selected = |desk: &Desk| approvals::selected(&desk.state).map(|approval| approval.id.to_string());
    assert_eq!(selected(&desk).as_deref(), Some("A-1"));
    let mut settled = approval("A-1", "checkout");
    settled.state = ApprovalState::Approved;
    desk.upsert(Entity::Approval(Box::new(settled)));
    assert_eq!(selected(&desk).as_deref(), Some("A-1"), "on the page the cursor never slides");
    desk.key("1");
    desk.upsert(Entity::Approval(Box::new(approval("A-2", "payments"))));
    desk.key("2");
    assert_eq!(selected(&desk).as_deref(), Some("A-2"));
}
