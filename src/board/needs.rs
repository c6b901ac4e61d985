//! Who needs a person, in order, kept so while rows change. What each entry says is put in words only
//! for those that are looked at.

use super::attention::{NEVER, Why, asked, describe, lapses, why};
use super::entry::{About, Attention, AttentionSubject, JobRef, Severity};
use super::judged::{latest_judgement, latest_judgements};
use super::list::Moved;
use super::ordered::Ordered;
use super::sort::{exposure, tier};
use super::{Board, Freshness, jobs};
use flightdeck_model::{Approval, ApprovalState, Hold, Ppm, Rollout, Run, Scope, ServiceName, SourceId, Target, Tier};
use jiff::Timestamp;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Clone)]
struct Need {
    severity: Severity,
    tier: Reverse<Tier>,
    share: Reverse<Ppm>,
    since: Timestamp,
    about: About,
}

impl Need {
    fn cmp(&self, other: &Need) -> Ordering {
        let key = |need: &Need| (need.severity, need.tier, need.share, need.since);
        key(self).cmp(&key(other)).then_with(|| self.about.cmp(&other.about))
    }

    fn rollout(board: &Board, rollout: &Arc<Rollout>, (why, since): (Why, Timestamp)) -> Need {
        Need {
            severity: why.severity(),
            tier: Reverse(tier(board, rollout)),
            share: Reverse(exposure(rollout)),
            since,
            about: About::Rollout(Arc::clone(rollout)),
        }
    }

    fn approval(board: &Board, approval: &Approval, rollout: Option<&Rollout>) -> Need {
        let environment = board.environment(&approval.run.target.source, &approval.environment);
        Need {
            severity: Severity::Approval,
            tier: Reverse(environment.map_or(Tier::default(), |environment| environment.tier)),
            share: Reverse(rollout.map_or(Ppm::ZERO, exposure)),
            since: approval.requested,
            about: About::Approval(approval.id.clone()),
        }
    }

    /// What goes on although it was held.
    fn hold(board: &Board, hold: &Hold) -> Option<Need> {
        let rows: Vec<&Rollout> = hold.undone().filter_map(|target| board.rollout(&target.run.target)).collect();
        hold.undone().next()?;
        Some(Need {
            severity: Severity::Undone,
            tier: Reverse(rows.iter().map(|row| tier(board, row)).max().unwrap_or_default()),
            share: Reverse(rows.iter().map(|row| exposure(row)).max().unwrap_or(Ppm::ZERO)),
            since: hold.since,
            about: About::Hold(hold.source.clone(), hold.id.clone()),
        })
    }

    fn job(board: &Board, job: JobRef, (severity, since): (Severity, Timestamp)) -> Need {
        let environment = board.environment(&job.source, &job.environment);
        let tier = Reverse(environment.map_or(Tier::default(), |environment| environment.tier));
        Need { severity, tier, share: Reverse(Ppm::ZERO), since, about: About::Job(job) }
    }

    fn source(scope: &Scope, freshness: &Freshness) -> Option<Need> {
        let since = match freshness {
            Freshness::Fresh | Freshness::Connecting => return None,
            Freshness::Stale { since, .. } | Freshness::Never { since, .. } => *since,
            Freshness::Denied { .. } => NEVER,
        };
        let (tier, share) = (Reverse(Tier::Low), Reverse(Ppm::ZERO));
        Some(Need { severity: Severity::Stale, tier, share, since, about: About::Source(scope.clone()) })
    }
}

/// Everything that needs a person, most dangerous first; equal to ranking all anew, after any change.
#[derive(Debug, Clone)]
pub struct Needs {
    needs: Ordered<Need>,
    lapses: Option<Timestamp>,
}

impl Needs {
    /// Of all that the board has.
    #[must_use]
    pub fn of(board: &Board, now: Timestamp) -> Needs {
        let latest = latest_judgements(board);
        let asked: BTreeSet<&Run> = pending(board).map(|approval| &approval.run).collect();
        let mut all = Needs { needs: Ordered::default(), lapses: None };
        let mut needs: Vec<Need> = Vec::new();
        for rollout in board.shared_rollouts() {
            let run = &rollout.run;
            let why = why(rollout, || latest.get(run).copied(), || asked.contains(run), || alerting(board, rollout));
            if let Some(why) = why.filter(|(why, _)| all.lasts(*why, rollout, now)) {
                needs.push(Need::rollout(board, rollout, why));
            }
        }
        needs.extend(pending(board).map(|a| Need::approval(board, a, board.rollout(&a.run.target))));
        needs.extend(board.holds().filter_map(|hold| Need::hold(board, hold)));
        needs.extend(board.services().flat_map(jobs::unwell).map(|(job, how)| Need::job(board, job, how)));
        // Of a source that is lost as a whole its parts say nothing more.
        let whole = |scope: &Scope| Scope { source: scope.source.clone(), part: String::new() };
        let lost = |scope: &Scope| board.link_of(&whole(scope)).is_some_and(|link| !link.is_complete());
        let said = board.links().filter(|(scope, _)| scope.part.is_empty() || !lost(scope));
        needs.extend(said.filter_map(|(scope, link)| Need::source(scope, &Freshness::of(Some(link)))));
        needs.sort_by(Need::cmp);
        all.needs = Ordered::from_sorted(needs);
        all
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry there.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&About> {
        self.needs.get(index).map(|need| &need.about)
    }

    /// The entries from there on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = &About> {
        self.needs.from(index).map(|need| &need.about)
    }

    /// When an entry lapses though nothing changes; then all have to be ranked anew.
    #[must_use]
    pub const fn lapses(&self) -> Option<Timestamp> {
        self.lapses
    }

    /// Where the entry about something is.
    #[must_use]
    pub fn position(&self, board: &Board, subject: &AttentionSubject) -> Option<usize> {
        let wanted = match subject {
            AttentionSubject::Rollout(run) => {
                let row = board.shared_rollout(&run.target).filter(|row| row.run == *run)?;
                entry(board, row)?
            }
            AttentionSubject::Approval(id) => {
                let approval = board.approval(id).filter(|approval| approval.state == ApprovalState::Pending)?;
                Need::approval(board, approval, board.rollout(&approval.run.target))
            }
            AttentionSubject::Hold(source, id) => Need::hold(board, board.hold(source, id)?)?,
            AttentionSubject::Job(job) => Need::job(board, job.clone(), jobs::how_unwell(board, job)?),
            AttentionSubject::Source(scope) => Need::source(scope, &Freshness::of(board.link_of(scope)))?,
        };
        self.find(&wanted, |about| about.is(subject))
    }

    /// A rollout of the board changed, and nothing else that its entry depends on.
    pub fn change(
        &mut self,
        board: &Board,
        old: Option<&Arc<Rollout>>,
        new: Option<&Arc<Rollout>>,
        now: Timestamp,
    ) -> Vec<Moved> {
        let was = old.and_then(|old| {
            let need = entry(board, old)?;
            self.find(&need, |about| about.is_of(&old.run.target))
        });
        let mut moved = vec![self.put(board, was, new, now)];
        // An approval counts for as many users as its rollout concerns.
        let share = |row: Option<&Arc<Rollout>>| row.map_or(Ppm::ZERO, |row| exposure(row));
        if let Some(target) = new.or(old).map(|row| &row.run.target)
            && share(old) != share(new)
        {
            for approval in pending(board).filter(|approval| approval.run.target == *target) {
                let need = |row: Option<&Arc<Rollout>>| Need::approval(board, approval, row.map(|row| &**row));
                moved.push(self.replace(&need(old), need(new)));
            }
        }
        moved
    }

    /// What is known of a rollout changed: a judgement, an approval of it.
    pub fn refresh(&mut self, board: &Board, target: &Target, now: Timestamp) -> Moved {
        let was = self.needs.from(0).position(|need| need.about.is_of(target));
        self.put(board, was, board.shared_rollout(target), now)
    }

    /// A service of the board came, changed or went. True if one of its jobs is not well, or was not.
    pub fn change_jobs(&mut self, board: &Board, source: &SourceId, service: &ServiceName) -> bool {
        let is_of =
            |need: &Need| matches!(&need.about, About::Job(job) if job.source == *source && job.service == *service);
        let mut any = false;
        loop {
            let Some(at) = self.needs.from(0).position(is_of) else { break };
            self.needs.remove(at);
            any = true;
        }
        for (job, how) in board.service(source, service).into_iter().flat_map(jobs::unwell) {
            self.insert(Need::job(board, job, how));
            any = true;
        }
        any
    }

    fn put(&mut self, board: &Board, from: Option<usize>, new: Option<&Arc<Rollout>>, now: Timestamp) -> Moved {
        if let Some(from) = from {
            self.needs.remove(from);
        }
        let need = new.and_then(|rollout| {
            let why = because(board, rollout).filter(|(why, _)| self.lasts(*why, rollout, now))?;
            Some(Need::rollout(board, rollout, why))
        });
        Moved { from, to: need.map(|need| self.insert(need)) }
    }

    fn replace(&mut self, before: &Need, after: Need) -> Moved {
        let subject = before.about.subject();
        let from = self.find(before, |about| about.is(&subject));
        if let Some(from) = from {
            self.needs.remove(from);
        }
        Moved { from, to: Some(self.insert(after)) }
    }

    fn insert(&mut self, need: Need) -> usize {
        let at = self.needs.place(|other| other.cmp(&need).is_lt());
        self.needs.insert(at, need);
        at
    }

    /// Looks where it should be, and everywhere if it is not there.
    fn find(&self, wanted: &Need, is: impl Fn(&About) -> bool) -> Option<usize> {
        let at = self.needs.place(|other| other.cmp(wanted).is_lt());
        if self.needs.get(at).is_some_and(|need| is(&need.about)) {
            return Some(at);
        }
        self.needs.from(0).position(|need| is(&need.about))
    }

    /// Does it still need a person? Remembers when it won't.
    fn lasts(&mut self, why: Why, rollout: &Rollout, now: Timestamp) -> bool {
        let Some(at) = lapses(why, rollout) else { return true };
        if at <= now {
            return false;
        }
        self.lapses = Some(self.lapses.map_or(at, |known| known.min(at)));
        true
    }
}

fn pending(board: &Board) -> impl Iterator<Item = &Approval> {
    board.approvals().filter(|approval| approval.state == ApprovalState::Pending)
}

fn because(board: &Board, rollout: &Rollout) -> Option<(Why, Timestamp)> {
    let judged = || latest_judgement(board, &rollout.run);
    why(rollout, judged, || asked(board, &rollout.run), || alerting(board, rollout))
}

/// Since when a critical alert of it fires.
fn alerting(board: &Board, rollout: &Rollout) -> Option<Timestamp> {
    board.critical_alert(rollout).map(|alert| alert.since)
}

/// The entry of a rollout, lapsed or not.
fn entry(board: &Board, rollout: &Arc<Rollout>) -> Option<Need> {
    because(board, rollout).map(|why| Need::rollout(board, rollout, why))
}

/// Everything that needs a person, most dangerous first: by severity, then by how much care the
/// environment asks for, by the share of users concerned, and the oldest first.
#[must_use]
pub fn rank(board: &Board, now: Timestamp) -> Vec<Attention> {
    let needs = Needs::of(board, now);
    needs.from(0).filter_map(|about| describe(board, about)).collect()
}
