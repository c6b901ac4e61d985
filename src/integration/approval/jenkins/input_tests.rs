use super::super::wire::Job;
use super::*;
use crate::approval::gate::Standing;
use serde_json::{Value, json};

fn build(more: &Value) -> Build {
    let mut all = json!({
        "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun", "number": 42, "building": true, "result": null,
        "timestamp": 1_772_000_000_000_u64, "url": "https://jenkins.example/job/team/job/shop/job/main/42/",
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let job: Job = serde_json::from_value(json!({ "builds": [all] })).unwrap();
    job.builds.into_iter().next().unwrap()
}

fn gate(input: &Value, alone: bool) -> Gate {
    let build = build(&json!({ "displayName": "1.4\u{1b}[31m" }));
    let now = Timestamp::from_second(1_772_000_100).unwrap();
    let at = At { job: "team/shop/main", build: &build, environment: "production", alone, now };
    waits(at, &serde_json::from_value(input.clone()).unwrap())
}

fn input(inputs: &Value) -> Value {
    json!({
        "id": "a3f0c2d4a3f0c2d4a3f0c2d4a3f0c2d4", "proceedText": "Proceed", "message": "Deploy\u{1b}[31m?\r",
        "inputs": inputs, "proceedUrl": "/x", "abortUrl": "/y",
    })
}

#[test]
fn what_jenkins_writes_is_shown_harmless_and_as_people_can_name_it() {
    let gate = gate(&input(&json!([])), true);
    assert_eq!(gate.what, "Deploy\u{fffd}[31m? (team/shop/main #42)");
    assert_eq!((gate.service.as_str(), gate.name.as_str()), ("shop", "main 42 A3f0c2d"));
    assert_eq!((gate.version.as_str(), gate.commit.as_str()), ("1.4\u{fffd}[31m", "#42"));
    assert_eq!(Id::of(&gate.key.uid).unwrap().input, "A3f0c2d4a3f0c2d4a3f0c2d4a3f0c2d4");
    assert_eq!(gate.standing(), Standing::Asks);
    assert_eq!((gate.denied(), gate.yes_denied()), (None, None));
}

#[test]
fn a_yes_that_has_to_say_more_is_for_jenkins_itself() {
    let asks =
        gate(&input(&json!([{ "type": "StringParameterDefinition", "name": "VERSION" }, { "name": "REGION" }])), true);
    assert!(asks.what.ends_with(": asks for VERSION, REGION"), "{}", asks.what);
    let why = asks.yes_denied().unwrap();
    assert!(why.contains("(VERSION, REGION): say yes at https://jenkins.example/job"), "{why}");
    assert_eq!(asks.denied(), None, "a no needs none");
    let untold = gate(&json!({ "id": "Prod", "message": "Deploy?" }), true);
    assert!(untold.yes_denied().unwrap().contains("does not tell whether"), "{untold:?}");
    let twins = gate(&input(&json!([])), false);
    assert!(twins.denied().unwrap().contains("several inputs with the id A3f0c2d4"), "{twins:?}");
}

#[test]
fn where_a_build_stands_that_waits_no_more() {
    let before = gate(&input(&json!([])), true);
    for (expected, told) in [
        (Standing::Deploying, json!({})),
        (Standing::Deployed, json!({ "building": false, "result": "SUCCESS" })),
        (Standing::Ended, json!({ "building": false, "result": "UNSTABLE" })),
        (Standing::Stopped, json!({ "building": false, "result": "ABORTED" })),
        (Standing::Ended, json!({ "building": false })),
    ] {
        let after = later(&before, &build(&told));
        assert_eq!(after.standing(), expected, "{told}");
    }
}

#[test]
fn only_the_first_letter_of_an_id_is_made_large() {
    for (told, written) in [("deploy-prod", "Deploy-prod"), ("Deploy", "Deploy"), ("2", "2"), ("", "")] {
        assert_eq!(id(told), written);
    }
}
