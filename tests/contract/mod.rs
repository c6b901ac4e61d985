//! The contract suite on each backend.

mod engine;
mod exec;

use flightdeck::contract::{Case, Column, ProgramBackend, matrix, run};
use std::path::Path;

/// The example that docs/exec.md points to.
fn example() -> ProgramBackend {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/example.py");
    ProgramBackend { command: vec!["python3".into(), path.display().to_string()] }
}

/// Every case has a result, and none failed.
fn all_passed(column: &Column) {
    let table = matrix(std::slice::from_ref(column));
    println!("{table}");
    assert_eq!(column.cells.len(), Case::ALL.len());
    assert_eq!(column.failed().count(), 0, "{table}");
}

#[tokio::test]
async fn the_python_example_passes() {
    all_passed(&run(&example(), Case::ALL, 4).await);
}

#[tokio::test]
async fn the_engine_passes() {
    all_passed(&run(&engine::EngineBackend, Case::ALL, 2).await);
}
