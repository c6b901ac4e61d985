//! config/keymap.toml and what a person lays over it.

use super::world::*;
use flightdeck::cockpit::app::command::{Bound, UiCommand};
use flightdeck::cockpit::app::keymap::{Context, Keymap, Resolved, parse_key};
use flightdeck::cockpit::app::{Key, Page, hints};
use flightdeck::model::Action;

#[test]
fn the_table_of_actions_and_the_keymap_agree() {
    let keymap = Keymap::built_in().unwrap();
    let all: Vec<Context> = Context::all().map(|(_, context)| context).collect();
    for row in Action::TABLE {
        let keys: Vec<_> = keymap.keys(&all, Bound::Act(row.action)).collect();
        let wanted: Vec<_> = row.key.iter().map(ToString::to_string).collect();
        assert_eq!(keys, wanted, "{}", row.name);
    }
}

#[test]
fn every_command_has_a_key_and_a_name_of_its_own() {
    let keymap = Keymap::built_in().unwrap();
    let all: Vec<Context> = Context::all().map(|(_, context)| context).collect();
    let mut names = std::collections::BTreeSet::new();
    for bound in Bound::all() {
        assert!(names.insert(bound.name()), "{} is there twice", bound.name());
        assert_eq!(Bound::from_name(bound.name()), Some(bound));
        assert!(bound.sentence().ends_with('.'), "{}", bound.name());
        if let Bound::Ui(command) = bound {
            assert!(keymap.keys(&all, bound).next().is_some(), "{command:?} has no key");
            let places: Vec<_> = all.iter().filter(|context| context.takes(bound)).collect();
            assert!(!places.is_empty(), "{command:?} belongs nowhere");
        }
    }
}

#[test]
fn the_keys_of_the_product_are_bound_and_abort_is_not_on_the_approvals_page() {
    let keymap = Keymap::built_in().unwrap();
    for (page, key, name) in [
        (Page::Deck, "p", "promote"),
        (Page::Deck, "z", "pause"),
        (Page::Deck, "u", "resume"),
        (Page::Deck, "a", "abort"),
        (Page::Deck, "b", "rollback"),
        (Page::Rollout, "a", "abort"),
        (Page::Rollout, "l", "output"),
        (Page::Deck, "H", "hold"),
        (Page::Approvals, "H", "hold"),
        (Page::Approvals, "v", "approve"),
        (Page::Approvals, "x", "reject"),
        (Page::Deck, "ctrl-d", "half-page-down"),
        (Page::Approvals, "4", "history"),
        (Page::History, "s", "sort"),
        (Page::Deck, "6", "log-page"),
        (Page::Deck, "g g", "first"),
    ] {
        let sequence: Vec<Key> = key.split(' ').map(Key::from).collect();
        let found = keymap.resolve(&Context::on(page), &sequence);
        assert_eq!(found, Resolved::Bound(Bound::from_name(name).unwrap()), "{key} on {page:?}");
    }
    for key in ["a", "p", "z", "3", "5", "7", "d", "w"] {
        assert_eq!(keymap.resolve(&Context::on(Page::Approvals), &[Key::from(key)]), Resolved::Nothing, "{key}");
    }
    assert_eq!(keymap.resolve(&Context::on(Page::Deck), &[Key::from("g")]), Resolved::Begun);
}

#[test]
fn a_line_of_a_person_replaces_the_keys_of_its_command() {
    let text = "[rollouts]\npause = [\"P\", \"ctrl-alt-x\"]\nabort = []\n";
    let keymap = Keymap::with(text, "mine.toml").unwrap();
    let on_deck = Context::on(Page::Deck);
    let resolve = |key: &str| keymap.resolve(&on_deck, &[Key::from(key)]);
    assert_eq!(resolve("P"), Resolved::Bound(Bound::Act(Action::Pause)));
    assert_eq!(resolve("ctrl-alt-x"), Resolved::Bound(Bound::Act(Action::Pause)));
    assert_eq!((resolve("z"), resolve("a")), (Resolved::Nothing, Resolved::Nothing));
    assert_eq!(resolve("p"), Resolved::Bound(Bound::Act(Action::Promote)), "the rest stays");
    // The footer and the help follow.
    let mut desk = Desk::new();
    desk.state.settings.keymap = keymap;
    let state = desk.state;
    let footer = hints::footer(&state);
    assert!(footer.iter().any(|hint| (hint.key.as_str(), hint.label) == ("P", "pause")));
    assert!(!footer.iter().any(|hint| hint.label == "abort"));
    let help = hints::help(&state);
    assert!(help.iter().any(|line| line.name == "pause" && line.keys == "P, ctrl-alt-x"));
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_a_suggestion() {
    for (text, told) in [
        ("[deck]\nopne = \"o\"", "k.toml:2:1: deck.opne: expected the name of a command; did you mean open?"),
        ("[dekc]\nopen = \"o\"", "k.toml:1:2: dekc: expected a section for keys; did you mean deck?"),
        (
            "[rollouts]\n  promote = \"entr\"",
            "k.toml:2:13: rollouts.promote: expected a key, found \"entr\"; did you mean enter?",
        ),
        ("[rollouts]\npromote = 5", "k.toml:2:11: rollouts.promote: expected a key or a list of keys, found integer"),
        ("[rollouts]\npromote = [5]", "k.toml:2:12: rollouts.promote: expected a key as text, found integer"),
        ("[rollouts]\npromote = \"\"", "k.toml:2:11: rollouts.promote: expected a key, found none; `[]` unbinds"),
        ("[approvals]\nabort = \"a\"", "k.toml:2:1: approvals.abort: belongs in [rollouts]"),
        ("deck = 1", "k.toml:1:8: deck: expected a section [deck], found integer"),
        (
            "[rollouts]\npromote = \"shift-p\"",
            "k.toml:2:11: rollouts.promote: expected a key, found \"shift-p\"; write the shifted character itself, such as \"G\"",
        ),
    ] {
        let error = Keymap::with(text, "k.toml").unwrap_err();
        assert_eq!(error.to_string(), told);
    }
    let error = Keymap::with("[deck]\nsort = \"s", "k.toml").unwrap_err().to_string();
    assert!(error.starts_with("k.toml:2:"), "{error}");
    let several = Keymap::with("[deck]\nopne = \"o\"\nsrot = \"s\"", "k.toml").unwrap_err();
    assert_eq!(several.problems.len(), 2, "{several}");
}

#[test]
fn keys_that_contradict_each_other_are_told() {
    for (text, told) in [
        (
            "[rollouts]\nabort = \"z\"",
            "k.toml:2:1: rollouts.abort: `z` is also bound to rollouts.pause; give one of them another key or []",
        ),
        (
            "[deck]\nmark = \"g\"",
            "k.toml:2:1: deck.mark: `g g` and `g` begin alike: also bound to global.first; give one of them another key or []",
        ),
        (
            "[approvals]\napprove = \"1\"",
            "k.toml:2:1: approvals.approve: `1` is also bound to global.deck; give one of them another key or []",
        ),
    ] {
        let error = Keymap::with(text, "k.toml").unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        let told_parts: Vec<_> = told.split("; ").collect();
        assert!(error.problems[0].ends_with(told_parts[1]), "{error}");
        for word in ["k.toml:2:1"].iter().chain(told_parts[0].split(' ').collect::<Vec<_>>().iter()) {
            assert!(error.problems[0].contains(word.trim_end_matches(':')), "{error} lacks {word}");
        }
    }
    // The same key on pages that are never shown together is no contradiction.
    Keymap::with("[approvals]\napprove = \"a\"", "k.toml").unwrap();
}

#[test]
fn one_key_has_one_spelling() {
    for (text, key) in [
        ("a", Ok("a")),
        ("G", Ok("G")),
        ("?", Ok("?")),
        ("-", Ok("-")),
        ("ctrl--", Ok("ctrl--")),
        ("alt-ctrl-x", Ok("ctrl-alt-x")),
        ("shift-tab", Ok("shift-tab")),
        ("f12", Ok("f12")),
        ("f13", Err(())),
        ("ctrl-", Err(())),
        ("ctrl-ctrl-x", Err(())),
        ("pagedown", Err(())),
        ("é", Ok("é")),
    ] {
        assert_eq!(parse_key(text).map_err(|_| ()), key.map(Key::from), "{text}");
    }
}

#[test]
fn a_footer_fits_its_terminal_and_always_has_the_way_out() {
    let mut desk = Desk::new();
    for columns in [40, 60, 80, 120, 200] {
        for page in ["1", "2", "6"] {
            desk.send(flightdeck::cockpit::app::Event::Resize { columns, rows: 24 });
            desk.key(page);
            let footer = hints::footer(&desk.state);
            let last = footer.last().unwrap();
            assert!(last.x + last.width <= columns, "{columns} columns: {footer:?}");
            for label in ["commands", "help", "leave"] {
                assert!(footer.iter().any(|hint| hint.label == label), "{label} at {columns}");
            }
            for (left, right) in footer.iter().zip(footer.iter().skip(1)) {
                assert!(left.x + left.width < right.x);
            }
        }
    }
}

#[test]
fn commands_of_typing_stand_last_in_the_table() {
    let typing: Vec<_> = UiCommand::all().skip_while(|command| *command != UiCommand::Complete).collect();
    assert!(typing.iter().all(|command| Context::Input.takes(Bound::Ui(*command))));
    assert!(typing.iter().all(|command| !Context::Global.takes(Bound::Ui(*command))));
}
