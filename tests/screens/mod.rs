//! Every page at every size: what a person sees, as text.

mod alerts;
mod canary;
mod decision;
mod history;
mod kinds;
mod objectives;
pub mod world;

use canary::*;
use flightdeck::cockpit::app::{ConnectionState, Event, Found, State};
use flightdeck::cockpit::view::{self, Themes};
use flightdeck::model::*;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use std::fmt::Write as _;
use world::*;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 36), (200, 60)];

fn buffer(state: &State, theme: &str, color: bool) -> Buffer {
    let themes = Themes::new(&[], color).unwrap();
    let mut terminal = Terminal::new(TestBackend::new(state.columns, state.rows)).unwrap();
    let now = now().to_zoned(TimeZone::UTC);
    let theme = themes.get(theme).unwrap();
    terminal.draw(|frame| view::draw(state, &now, theme, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol)).unwrap().max(1);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn screen(state: &State) -> String {
    text(&buffer(state, "dark", true))
}

/// One snapshot for each size.
fn every_size(name: &str, make: impl Fn(u16, u16) -> State) {
    for (columns, rows) in SIZES {
        let state = make(columns, rows);
        insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), screen(&state));
    }
}

fn after(make: fn(u16, u16) -> State, keys: &'static str) -> impl Fn(u16, u16) -> State {
    move |columns, rows| {
        let mut state = make(columns, rows);
        press(&mut state, keys);
        state
    }
}

#[test]
fn no_server() {
    every_size("no_server", |columns, rows| {
        let mut state = empty(columns, rows);
        connect(&mut state, 0, "local", false);
        state
    });
    every_size("connecting", |columns, rows| {
        let mut state = empty(columns, rows);
        let new = ConnectionState::Connecting;
        tell(&mut state, Event::Connection { id: 0, name: "local".into(), state: new });
        state
    });
}

#[test]
fn no_sources_at_all() {
    every_size("no_sources", |columns, rows| {
        let mut state = empty(columns, rows);
        let what = "kubeconfig /home/alice/.kube/config".to_owned();
        state.settings.found = vec![Found { what, came: "not there".to_owned(), good: false }];
        connect(&mut state, 0, "local", false);
        state
    });
}

#[test]
fn sources_of_this_process_without_a_server() {
    every_size("deck_contexts", contexts);
    let state = contexts(120, 36);
    assert!(!screen(&state).contains("local"), "a server that nobody needs is not missed");
    let mut joined = contexts(120, 36);
    connect(&mut joined, 0, "local", true);
    assert!(screen(&joined).contains("local"), "once it is there it is shown");
}

/// Two clusters that have the same names: their rows are told apart by their source, in both lists and in the summary.
#[test]
fn rows_of_one_name_at_two_sources() {
    every_size("deck_alike", |columns, rows| {
        let mut state = empty(columns, rows);
        let name = "team-shop-production/checkout-service-with-a-rather-long-name-006-worker";
        for (at, source) in ["fleet-eu-central-1", "fleet-us-east-1"].into_iter().enumerate() {
            connect(&mut state, at, source, true);
            let mut row = world::rollout(source, name, "production", "2026.11.29-rc1", "2026.11.30-rc2", 25);
            row.phase = Phase::Paused;
            row.waits = vec![Wait::Human { what: "promote to 50 %".into(), who: None, since: ago(60) }];
            let other = settled(source, &format!("only-at-{source}"), "production", "1.0");
            let entities = [row, other].map(|row| Entity::Rollout(std::sync::Arc::new(row)));
            Hub::new(at, source).snapshot(&mut state, entities.into());
        }
        tell(&mut state, Event::Wake);
        let drawn = screen(&state);
        let rows = |part: &str| drawn.lines().filter(|line| line.contains("worker") && line.contains(part)).count();
        // Once needed, once listed; the selected one once more.
        for end in ["l-1", "t-1"] {
            assert!(rows(end) >= 2, "{columns}: {end}\n{drawn}");
        }
        assert!(drawn.lines().any(|line| line.contains("006-worker") && line.contains("at fleet-")), "{drawn}");
        state
    });
}

/// What lets a pipeline go on knows of no user: nothing is said of shares, instances or a version before.
#[test]
fn a_source_that_tells_of_no_user_is_not_taken_for_one_without_any() {
    let mut state = empty(120, 36);
    connect(&mut state, 0, "github", true);
    let mut row = world::rollout("github", "shop", "production", "41ceb02", "42ceb02", 0);
    row.strategy = Strategy::Other;
    row.arms.retain(|arm| arm.role == ArmRole::Candidate);
    for arm in &mut row.arms {
        arm.replicas = Replicas::default();
        arm.traffic = Traffic { desired: Ppm::ZERO, actual: None, how: TrafficSource::Declared };
    }
    row.rollback_plan = None;
    Hub::new(0, "github").snapshot(&mut state, vec![Entity::Rollout(std::sync::Arc::new(row))]);
    tell(&mut state, Event::Wake);
    let drawn = screen(&state);
    assert!(!drawn.contains(" 0 %") && !drawn.contains("0/0") && !drawn.contains("no version before"), "{drawn}");
    assert!(drawn.contains("github tells neither shares nor instances") && drawn.contains("github tells of none"));
}

#[test]
fn sources_without_metrics() {
    every_size("deck_no_metrics", |columns, rows| canary(columns, rows, &|_| {}));
}

/// A canary of a cluster whose pods somebody else measures each 15 s: each in the last ten minutes but two, the newest
/// so many seconds ago.
fn measured(columns: u16, rows: u16, newest: i64) -> State {
    let mut state = canary(columns, rows, &|row| {
        for (arm, set) in row.arms.iter_mut().zip(["shop-58bb4f", "shop-7d5f9c"]) {
            arm.pods = Some(PodNames::Set(set.into()));
        }
    });
    let sample = |n: i64, role, version: &str, requests, errors, p95_us| ArmSample {
        target: state.board.rollouts().next().unwrap().run.target.clone(),
        role,
        version: version.into(),
        at: ago(newest + 15 * n),
        window_ms: 15_000,
        requests,
        errors,
        p50_us: Some(p95_us / 2),
        p95_us: Some(p95_us),
        p99_us: Some(p95_us * 2),
    };
    let windows = (0..40).rev().filter(|n| !(8..10).contains(n)).flat_map(|n| {
        let wave = u32::try_from(n % 7).unwrap() * 4_000;
        [
            sample(n, ArmRole::Stable, "v1.9", 1200, 2, 80_000 + wave),
            sample(n, ArmRole::Candidate, "v1.10", 300, 9, 150_000 + wave),
        ]
    });
    let windows = Body::Samples(windows.collect());
    Hub::again(0, "prod", 50).send(&mut state, windows);
    state
}

fn lost_metrics(state: &mut State, since: i64, never: bool) {
    let scope = Scope { source: "prometheus".into(), part: Scope::METRICS_PART.to_owned() };
    let why = "no answer: prometheus.test: connection refused".to_owned();
    let link = Body::Link(LinkState::Stale { since: ago(since), why, never });
    let scoped = Scoped { scope, body: link };
    let envelope = Envelope { hub: "hub-prod".into(), epoch: 1, seq: 60, at: now(), scoped };
    tell(state, Event::Update { id: 0, envelope: Box::new(envelope) });
}

#[test]
fn pods_that_are_measured_each_fifteen_seconds() {
    every_size("deck_measured", |columns, rows| measured(columns, rows, 4));
    every_size("rollout_measured", |columns, rows| {
        let mut state = measured(columns, rows, 4);
        press(&mut state, "enter");
        state
    });
}

#[test]
fn numbers_that_are_no_longer_of_now() {
    every_size("deck_numbers_old", |columns, rows| {
        let mut state = measured(columns, rows, 150);
        lost_metrics(&mut state, 150, false);
        state
    });
    let mut state = measured(120, 36, 150);
    press(&mut state, "enter");
    assert!(screen(&state).contains("2 m ago"), "{}", screen(&state));
    // Nobody ever told a number, and it is known why.
    let mut state = canary(120, 36, &|_| {});
    lost_metrics(&mut state, 41, true);
    let shown = screen(&state);
    assert!(shown.contains("no metrics of prod: prometheus: never reached"), "{shown}");
}

#[test]
fn sources_with_nothing_to_show() {
    every_size("deck_no_workloads", |columns, rows| {
        let mut state = empty(columns, rows);
        state.settings.watched = vec![("prod".into(), "context prod-eu, namespaces shop bank".to_owned())];
        connect(&mut state, 0, "prod", true);
        Hub::new(0, "prod").snapshot(&mut state, Vec::new());
        state
    });
}

#[test]
fn nothing_deployed_yet() {
    every_size("deck_no_services", |columns, rows| {
        let mut state = empty(columns, rows);
        connect(&mut state, 0, "local", true);
        Hub::new(0, "local").snapshot(&mut state, Vec::new());
        state
    });
}

#[test]
fn deck() {
    every_size("deck", live);
    every_size("deck_second_row", after(live, "j"));
    every_size("deck_needs", after(live, "tab j"));
    every_size("deck_marked", after(live, "space j space"));
    every_size("deck_filter", after(live, "/ c h e c k"));
    every_size("deck_filtered_to_nothing", after(live, "/ z z z enter"));
}

#[test]
fn deck_that_may_be_old() {
    every_size("deck_stale", stale);
    every_size("deck_stale_row", after(stale, "j j j"));
    every_size("deck_denied", denied);
    every_size("deck_hold", held);
}

#[test]
fn deck_of_ten_thousand() {
    every_size("deck_10k", crowd);
    every_size("deck_10k_end", after(crowd, "G"));
}

#[test]
fn rollout() {
    every_size("rollout", after(live, "enter"));
    every_size("rollout_read", after(live, "enter , , , , , , , , , ,"));
    every_size("rollout_events", after(live, "enter e"));
    every_size("rollout_evidence", after(live, "enter tab tab"));
    every_size("rollout_receipts", after(live, "enter shift-tab"));
    every_size("rollout_stale", after(stale, "j j j enter"));
    every_size("rollout_settled", after(live, "G enter"));
}

#[test]
fn rollout_that_another_replaced() {
    every_size("rollout_replaced", |columns, rows| {
        let mut state = live(columns, rows);
        press(&mut state, "enter");
        let mut newer = world::rollout("local", "checkout", "production", "1.9.0", "1.11.0", 5);
        newer.run.revision = "r-8".into();
        Hub::new(0, "local").upsert(&mut state, Entity::Rollout(std::sync::Arc::new(newer)));
        state
    });
}

#[test]
fn services_at_rest_leave_the_room_of_empty_columns_to_names() {
    every_size("deck_idle", kinds::idle);
}

#[test]
fn tcp_services_have_connections() {
    every_size("deck_tcp", kinds::connections);
    every_size("rollout_tcp", after(kinds::connections, "enter"));
    let mut state = kinds::connections(200, 60);
    press(&mut state, "enter");
    let screen = screen(&state);
    assert!(!screen.contains("request") && !screen.contains("p95"), "{screen}");
}

#[test]
fn history_of_what_has_ended() {
    every_size("history", history::some);
    every_size("history_second_row", after(history::some, "j"));
    every_size("history_filtered_to_nothing", after(history::some, "/ z z z enter"));
    every_size("history_sorted", after(history::some, "s s s"));
    every_size("history_record", history::record);
    every_size("history_stale", history::old);
    every_size("history_empty", history::nothing);
    every_size("history_loading", history::loading);
}

#[test]
fn rollback_plan() {
    every_size("rollout_plan", history::plan);
}

#[test]
fn raw_object() {
    every_size("rollout_raw", |columns, rows| {
        let mut state = live(columns, rows);
        press(&mut state, "enter");
        let detail = detail(&state);
        answer_with(&mut state, "i", Some(&Reply::Detail(Box::new(detail))));
        state
    });
}

/// A rollout of a backend that says what it knows when it is asked.
fn asked<R: Into<Option<Reply>>>(
    answer: impl Fn(&State) -> R,
    keys: &'static str,
    change: impl Fn(&mut Rollout),
) -> impl Fn(u16, u16) -> State {
    move |columns, rows| {
        let mut state = canary(columns, rows, &change);
        for key in std::iter::once("enter").chain(keys.split_whitespace()) {
            let reply = answer(&state).into();
            answer_with(&mut state, key, reply.as_ref());
        }
        state
    }
}

fn all(state: &State) -> Reply {
    Reply::Detail(Box::new(canary_detail(state)))
}

#[test]
fn rollout_that_is_read_when_it_is_opened() {
    every_size("asked_reading", asked(|_| None::<Reply>, "", |_| {}));
    every_size("asked_instances", asked(all, "", |_| {}));
    every_size("asked_sets", asked(all, "tab", |_| {}));
    every_size("asked_analyses", asked(all, "tab tab tab", |_| {}));
    every_size("asked_history", asked(all, "tab tab tab tab", |_| {}));
    every_size("asked_diff", asked(all, "d", |_| {}));
    every_size("asked_diff_other", asked(all, "d j", |_| {}));
    every_size("asked_raw", asked(all, "i", |_| {}));
    every_size("asked_output", asked(all, "l", |_| {}));
    let refused = |_: &State| Reply::Refused(Refusal::new(RefusalKind::Stale, "cannot read it: no answer within 5 s"));
    every_size("asked_in_vain", asked(refused, "", |_| {}));
    every_size("asked_diff_in_vain", asked(refused, "d", |_| {}));
}

#[test]
fn rollout_of_which_something_cannot_be_read() {
    let some = |state: &State| {
        let mut detail = canary_detail(state);
        detail.instances.clear();
        detail.gaps = ["pods", "events", "analysisruns"].map(|what| format!("you lack list on {what} in shop")).into();
        detail.notes.clear();
        Reply::Detail(Box::new(detail))
    };
    every_size("asked_gaps", asked(some, "", |_| {}));
    every_size("asked_gaps_raw", asked(some, "i", |_| {}));
}

#[test]
fn rollout_that_something_else_describes() {
    let managed = |rollout: &mut Rollout| {
        rollout.managed_by = Some(Box::new(ManagedBy { tool: "Argo CD".into(), name: "application shop".into() }));
        rollout.phase = Phase::Healthy;
        rollout.waits.clear();
        rollout.offers = [Action::Rollback].into_iter().collect();
    };
    every_size("asked_managed_history", asked(all, "tab tab tab tab", managed));
    every_size("asked_managed_diff", asked(all, "d", managed));
}

#[test]
fn approvals() {
    every_size("approvals", after(live, "2"));
    every_size("approvals_superseded", after(live, "2 j"));
    every_size("approvals_stale", after(lost, "2"));
    every_size("approvals_none", |columns, rows| {
        let mut state = empty(columns, rows);
        connect(&mut state, 0, "local", true);
        Hub::new(0, "local").snapshot(&mut state, Vec::new());
        press(&mut state, "2");
        state
    });
}

#[test]
fn help_and_palette() {
    every_size("help", after(live, "?"));
    every_size("help_approvals", after(live, "2 ?"));
    every_size("palette", after(live, ":"));
    every_size("palette_typed", after(live, ": p r o tab"));
}

#[test]
fn dialogs() {
    every_size("dialog_abort", |columns, rows| {
        let mut state = live(columns, rows);
        ask(&mut state, "a", |query| prepared(query, Friction::Yes));
        state
    });
    every_size("dialog_abort_unanswered", after(live, "a"));
    every_size("dialog_abort_stale", after(lost, "a"));
    every_size("dialog_promote", |columns, rows| {
        let mut state = live(columns, rows);
        ask(&mut state, "p", |query| prepared(query, Friction::Challenge("checkout 25→50".into())));
        later(&mut state);
        press(&mut state, "c h e");
        state
    });
    every_size("dialog_reason", |columns, rows| {
        let mut state = live(columns, rows);
        ask(&mut state, "p", |query| prepared(query, Friction::ChallengeAndReason("checkout 25→50".into())));
        later(&mut state);
        press(&mut state, "tab b u d g e t");
        state
    });
    every_size("dialog_refused", |columns, rows| {
        let mut state = live(columns, rows);
        ask(&mut state, "p", |_| {
            Reply::Refused(Refusal::new(RefusalKind::Denied, "you lack the role release-manager in production"))
        });
        state
    });
    every_size("dialog_moved_on", |columns, rows| {
        let mut state = live(columns, rows);
        ask(&mut state, "p", |query| prepared(query, Friction::Challenge("checkout 25→50".into())));
        let mut moved = world::rollout("local", "checkout", "production", "1.9.0", "1.10.0", 25);
        moved.facts = moved.facts.with(Fact::Step, "3").with(Fact::Generation, "32");
        Hub::new(0, "local").upsert(&mut state, Entity::Rollout(std::sync::Arc::new(moved)));
        tell(&mut state, Event::Wake);
        state
    });
    every_size("dialog_hold", after(live, "H"));
}

#[test]
fn the_moment_of_decision() {
    let promote = |errors, verdict| {
        move |columns, rows| {
            let mut state = decision::weighed(columns, rows, errors, verdict);
            ask(&mut state, "p", |query| prepared(query, Friction::Challenge("checkout 5→50".into())));
            later(&mut state);
            state
        }
    };
    every_size("dialog_promote_failing", promote(180, MetricVerdict::Fail));
    every_size("dialog_promote_healthy", promote(0, MetricVerdict::Pass));
    let approvals = |errors, verdict| {
        move |columns, rows| {
            let mut state = decision::weighed(columns, rows, errors, verdict);
            press(&mut state, "2");
            state
        }
    };
    every_size("approvals_failing", approvals(180, MetricVerdict::Fail));
    every_size("approvals_healthy", approvals(0, MetricVerdict::Pass));
}

#[test]
fn what_may_be_old_is_said_once() {
    let mut state = lost(80, 24);
    ask(&mut state, "a", |query| {
        let Reply::Prepared(mut answer) = prepared(query, Friction::Yes) else { panic!("{query:?}") };
        answer.forecast.stale = Some("stale for 75 s: connection refused".into());
        Reply::Prepared(answer)
    });
    let shown = screen(&state);
    let (dialog, _) = shown.split_once("reduces exposure").expect("the end of the dialog");
    assert_eq!(dialog.matches("stale for 75 s: connection refused").count(), 1, "{shown}");
    assert!(shown.contains("bound to  as seen 11:58:45"), "{shown}");
    // What only the server finds old is said all the same.
    let mut state = live(120, 36);
    ask(&mut state, "a", |query| {
        let Reply::Prepared(mut answer) = prepared(query, Friction::Yes) else { panic!("{query:?}") };
        answer.forecast.stale = Some("stale for 9 s: connection reset".into());
        Reply::Prepared(answer)
    });
    assert!(screen(&state).contains("seen      ◌ stale for 9 s: connection reset"), "{}", screen(&state));
}

#[test]
fn a_failing_candidate_is_red_in_every_theme() {
    for theme in ["dark", "light"] {
        let styles = |state: &State, line: &str| {
            let buffer = buffer(state, theme, true);
            let cells = (0..buffer.area.height).flat_map(|y| (0..buffer.area.width).map(move |x| (x, y)));
            let text = text(&buffer);
            let row = text.lines().position(|shown| shown.contains(line)).unwrap_or_else(|| panic!("{line}: {text}"));
            let style = |word: &str| {
                let at = text.lines().nth(row).unwrap().split(word).next().unwrap().chars().count();
                cells.clone().nth(row * usize::from(buffer.area.width) + at).map(|cell| buffer[cell].fg).unwrap()
            };
            style(line)
        };
        let open = |errors, verdict| {
            let mut state = decision::weighed(120, 36, errors, verdict);
            ask(&mut state, "p", |query| prepared(query, Friction::Yes));
            state
        };
        let (failing, healthy) = (open(180, MetricVerdict::Fail), open(0, MetricVerdict::Pass));
        let theme = Themes::new(&[], true).unwrap().get(theme).unwrap().clone();
        let red = theme.style(view::Scope::SeverityFailing).fg.unwrap();
        assert_eq!(styles(&failing, "errors 18 % against 0.5 %, p95"), red);
        assert_eq!(styles(&failing, "✗ slo fails: errors 18 % against 0.5 % at stable, limit 1 % (at"), red);
        assert_ne!(styles(&healthy, "errors 0.0 % against 0.5 %, p95"), red);
    }
}

#[test]
fn a_challenge_is_never_cut() {
    let longest = "a-name-of-eighteen 0123456789→0123456789";
    for columns in [60, 80] {
        let mut state = live(columns, 24);
        ask(&mut state, "p", |query| prepared(query, Friction::Challenge(longest.into())));
        later(&mut state);
        assert!(screen(&state).contains(longest), "{columns} columns:\n{}", screen(&state));
    }
}

#[test]
fn notices() {
    every_size("notice_unavailable", after(live, "G u"));
    every_size("notice_sent", |columns, rows| {
        let mut state = live(columns, rows);
        press(&mut state, "a");
        later(&mut state);
        drop(yes(&mut state));
        state
    });
}

#[test]
fn output_of_an_instance() {
    every_size("output", |columns, rows| followed(columns, rows, 7));
    every_size("output_long", |columns, rows| {
        let mut state = followed(columns, rows, 300);
        press(&mut state, "ctrl-b");
        state
    });
    every_size("output_ended", |columns, rows| {
        let mut state = followed(columns, rows, 3);
        let token = state.output.as_ref().unwrap().token;
        tell(&mut state, Event::LogEnded { token, why: "the instance's output ended".into() });
        state
    });
}

#[test]
fn log_of_the_program() {
    tui_logger::set_default_level(tui_logger::LevelFilter::Trace);
    let levels = [log::Level::Error, log::Level::Warn, log::Level::Info, log::Level::Debug, log::Level::Trace];
    for (n, level) in levels.into_iter().cycle().take(40).enumerate() {
        let text = format!("{n}: connection lost: connection refused server=prod-eu");
        let mut record = log::Record::builder();
        record.level(level).target("flightdeck::cockpit::shell");
        tui_logger::Drain::new().log(&record.args(format_args!("{text}")).build());
    }
    tui_logger::move_events();
    for (columns, rows) in SIZES {
        let state = after(live, "6")(columns, rows);
        insta::assert_snapshot!(format!("logs_{columns}x{rows}"), without_clock(&screen(&state)));
    }
    let state = after(live, "6 pgup")(120, 24);
    insta::assert_snapshot!("logs_page_back", without_clock(&screen(&state)));
}

/// The widget's clock is the machine's.
fn without_clock(text: &str) -> String {
    let line = |line: &str| {
        let at = line.match_indices(':').find_map(|(at, _)| {
            let clock = line.get(at.checked_sub(2)?..at + 6)?;
            let digits = clock
                .bytes()
                .enumerate()
                .all(|(n, byte)| if n % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() });
            digits.then_some(at - 2)
        });
        at.map_or_else(|| line.to_owned(), |at| format!("{}HH:MM:SS{}", &line[..at], &line[at + 8..]))
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn too_small() {
    for (columns, rows) in [(20, 5), (39, 24), (80, 9), (1, 1)] {
        insta::assert_snapshot!(format!("too_small_{columns}x{rows}"), screen(&live(columns, rows)));
    }
}

#[test]
fn styles_of_the_deck() {
    for theme in ["dark", "light"] {
        insta::assert_snapshot!(format!("deck_styles_{theme}"), styles(&buffer(&live(80, 24), theme, true)));
    }
}

/// Runs of one style, a line each: row, columns, text, style.
fn styles(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut run: Option<(u16, String, ratatui::style::Style)> = None;
        let flush = |run: Option<(u16, String, ratatui::style::Style)>, out: &mut String| {
            if let Some((x, text, style)) = run.filter(|(_, text, _)| !text.trim().is_empty()) {
                let (fg, bg) = (style.fg.unwrap(), style.bg.unwrap());
                writeln!(out, "{y:2},{x:2} {:40} {fg} on {bg} {:?}", text.trim_end(), style.add_modifier).unwrap();
            }
        };
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            match &mut run {
                Some((_, text, style)) if *style == cell.style() => text.push_str(cell.symbol()),
                _ => {
                    flush(run.take(), &mut out);
                    run = Some((x, cell.symbol().to_owned(), cell.style()));
                }
            }
        }
        flush(run, &mut out);
    }
    out
}

#[test]
fn without_colour_the_screen_says_the_same() {
    for make in [live, stale, denied, held] {
        let (with, without) = (buffer(&make(120, 36), "dark", true), buffer(&make(120, 36), "dark", false));
        assert_eq!(text(&with), text(&without));
        for cell in &without.content {
            assert_eq!((cell.fg, cell.bg), (ratatui::style::Color::Reset, ratatui::style::Color::Reset));
        }
    }
}

#[test]
fn hostile_names_never_reach_the_terminal() {
    let mut state = live(120, 36);
    let hostile = "a\u{200d}\u{1b}]52;c;AAAA\u{7}b\u{202e}c\u{200b}d\u{9b}31m";
    let mut row = world::rollout("local", hostile, "production", hostile, hostile, 25);
    row.message = hostile.into();
    Hub::new(0, "local").upsert(&mut state, Entity::Rollout(std::sync::Arc::new(row)));
    for keys in ["", "enter", "a", "?"] {
        if !keys.is_empty() {
            press(&mut state, keys);
        }
        let shown = screen(&state);
        assert!(!shown.chars().any(|c| c != '\n' && c.is_control()), "{shown:?}");
        assert!(!shown.contains(['\u{202e}', '\u{200b}', '\u{200d}']), "{shown:?}");
    }
}

#[test]
fn every_size_can_be_drawn() {
    let mut state = live(120, 36);
    for keys in ["", "enter", "esc 2", "esc 4", "esc 6", "?", "esc :", "esc 1 a"] {
        if !keys.is_empty() {
            press(&mut state, keys);
        }
        for columns in [1, 20, 39, 40, 41, 55, 77, 80, 99, 118, 131, 168, 240] {
            for rows in [1, 5, 9, 10, 11, 15, 16, 17, 24, 31, 70] {
                tell(&mut state, Event::Resize { columns, rows });
                let shown = screen(&state);
                assert_eq!(shown.lines().count(), usize::from(rows), "{keys} {columns}x{rows}");
            }
        }
    }
}

#[test]
fn a_worker_is_shown_by_its_instances_and_never_by_traffic() {
    let mut state = empty(120, 36);
    connect(&mut state, 0, "local", true);
    let mut hub = Hub::new(0, "local");
    let mut worker = world::rollout("local", "mails", "production", "1.0", "1.1", 50);
    worker.steps = [1, 2].map(|instances| Step::Batch { instances, unavailable: 0 }).to_vec().into();
    (worker.step, worker.message) = (Some(1), "step 2 of 2: 1 of 2 instances of 1.1 ready".into());
    for arm in &mut worker.arms {
        (arm.replicas, arm.traffic.how) = (Replicas { ready: 1, desired: 2 }, TrafficSource::Instances);
    }
    let mut entities = environments("local");
    entities.push(instance(&worker.run, "mails-production-1", ArmRole::Stable, "1.0", InstanceState::Ready, 0));
    entities.push(Entity::Rollout(std::sync::Arc::new(worker)));
    hub.snapshot(&mut state, entities);
    tell(&mut state, Event::Wake);
    press(&mut state, "enter");
    let page = screen(&state);
    let row = page.lines().find(|line| line.contains("instances ")).unwrap_or_default();
    assert!(row.contains("1 of 2 run 1.0") && row.contains("1 of 2 run 1.1"), "{page}");
    assert!(page.contains("no metrics: a worker has no traffic that could be counted"), "{page}");
    assert!(page.contains("abort: 1.0 goes on working, 1 of 2 ready"), "{page}");
    let untrue = ["50 %", "Canary against stable", "all traffic"];
    assert!(!untrue.iter().any(|words| page.contains(words)), "{page}");
}
