use clap::CommandFactory;
use flightdeck::cli::{Cli, reference};
use flightdeck::model::Action;
use std::path::Path;

#[test]
fn the_definition_of_the_command_line_holds_together() {
    Cli::command().debug_assert();
}

/// `BLESS=1 cargo test --test suite cli::reference` writes it anew.
#[test]
fn the_committed_reference_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let generated = reference::markdown();
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/cli.md differs; renew it with BLESS=1 cargo test --test suite cli::reference"
    );
}

/// A new action is reachable without touching the command line.
#[test]
fn every_action_has_a_verb_with_its_own_sentence() {
    let mut command = Cli::command();
    command.build();
    for row in Action::TABLE {
        let (path, sentence) = match row.action {
            Action::PromoteFull => (vec!["promote"], None),
            Action::ReleaseHold => (vec!["release"], None),
            Action::EndRun => (vec!["run"], None),
            Action::AddRelease => (vec!["release", "add"], None),
            Action::RemoveRelease => (vec!["release", "rm"], None),
            Action::Deploy | Action::Apply | Action::Hold | Action::Migration | Action::Annotate => {
                (vec![row.name], None)
            }
            _ => (vec![row.name], Some(row.sentence.trim_end_matches('.'))),
        };
        let mut at = &command;
        for name in &path {
            at = at.find_subcommand(name).unwrap_or_else(|| panic!("{path:?}"));
        }
        if let Some(sentence) = sentence {
            assert_eq!(at.get_about().unwrap().to_string(), sentence);
        }
    }
    let promote = command.find_subcommand("promote").unwrap();
    assert!(promote.get_arguments().any(|arg| arg.get_id() == "full"));
    assert!(!command.find_subcommand("pause").unwrap().get_arguments().any(|arg| arg.get_id() == "full"));
}
