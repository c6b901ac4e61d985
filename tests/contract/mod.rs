//! The contract suite on each backend.

mod circleci;
mod engine;
mod exec;
mod github;
mod gitlab;
mod jenkins;
pub mod kubernetes;

use flightdeck::contract::{Case, Column, ProgramBackend, matrix, run};
use std::path::Path;

/// The example that docs/exec.md points to.
fn example() -> ProgramBackend {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/example.py");
    ProgramBackend { command: vec!["python3".into(), path.display().to_string()] }
}

/// Every case has a result, and none failed.
pub fn all_passed(column: &Column, cases: &[Case]) {
    let table = matrix(std::slice::from_ref(column));
    println!("{table}");
    assert_eq!(column.cells.len(), cases.len());
    assert_eq!(column.failed().count(), 0, "{table}");
}

#[tokio::test]
async fn the_python_example_passes() {
    all_passed(&run(&example(), Case::ALL, 4).await, Case::ALL);
}

#[tokio::test]
async fn the_engine_passes() {
    all_passed(&run(&engine::EngineBackend, Case::ALL, 2).await, Case::ALL);
}

#[tokio::test]
async fn waiting_deployments_of_github_pass() {
    all_passed(&run(&github::GitHubBackend, Case::ALL, 4).await, Case::ALL);
}

#[tokio::test]
async fn waiting_deployments_of_gitlab_pass() {
    all_passed(&run(&gitlab::GitLabBackend, Case::ALL, 4).await, Case::ALL);
}

#[tokio::test]
async fn approval_jobs_of_circleci_pass() {
    all_passed(&run(&circleci::CircleCiBackend, Case::ALL, 4).await, Case::ALL);
}

#[tokio::test]
async fn inputs_of_jenkins_pass() {
    all_passed(&run(&jenkins::JenkinsBackend, Case::ALL, 4).await, Case::ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_canary_of_argo_rollouts_passes() {
    all_passed(&run(&kubernetes::Sort::Canary, Case::ALL, 3).await, Case::ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_blue_green_of_argo_rollouts_passes() {
    all_passed(&run(&kubernetes::Sort::BlueGreen, Case::ALL, 3).await, Case::ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_deployment_passes() {
    all_passed(&run(&kubernetes::Sort::Deployment, Case::ALL, 3).await, Case::ALL);
}
