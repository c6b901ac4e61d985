//! The core's rules, one story each: given, input, then.

use super::world::*;
use flightdeck::model::*;

#[test]
fn the_first_version_comes_up_without_steps_and_the_next_goes_through_them() {
    let mut story = Story::serving(spec(&canary_steps()));
    assert_eq!(story.traffic(), [("1.0".to_owned(), 100)]);
    story.deploy("production", "1.1").unwrap();
    assert_eq!(story.traffic(), [("1.0".to_owned(), 90), ("1.1".to_owned(), 10)]);
    assert_eq!(story.row().phase, Phase::Paused);
    story.act(Action::Promote).unwrap();
    assert_eq!(story.traffic(), [("1.0".to_owned(), 50), ("1.1".to_owned(), 50)]);
    story.pass(6);
    assert_eq!(story.row().phase, Phase::Healthy, "{}", story.row().message);
    assert_eq!(story.traffic(), [("1.1".to_owned(), 100)]);
}
