//! The rules that come with the program, tried by Prometheus' own tool.
//!
//! Ignored unless it is asked for: `./check` fetches it with Prometheus and runs it. `FLIGHTDECK_PROMTOOL` names the
//! program; without, it is looked for in `PATH`.

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs promtool: ./check fetches one"]
fn promtool_takes_the_rules_and_their_tests_pass() {
    let program = std::env::var_os("FLIGHTDECK_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prometheus");
    for args in [["check", "rules", "flightdeck-rules.yaml"], ["test", "rules", "flightdeck-rules.test.yaml"]] {
        let done = Command::new(&program).args(args).current_dir(&dir).output().expect("promtool");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(done.status.success(), "{args:?}: {}{}", said(&done.stdout), said(&done.stderr));
    }
}
