//! Starting: once, on a free address, with fitting settings.

use std::net::TcpListener;

use crate::support::Service;

#[test]
fn a_second_start_is_refused_and_the_first_goes_on() {
    let service = Service::start();
    let second = lens::Builder::new().no_listener().start();
    assert!(matches!(second, Err(lens::Error::AlreadyRunning)), "{second:?}");
    assert_eq!(service.value("1 + 1"), 2);
}

#[test]
fn lens_can_start_again_after_it_was_dropped() {
    for _ in 0..3 {
        assert_eq!(Service::start().value("1 + 1"), 2);
    }
}

#[test]
fn a_taken_port_is_an_error_that_names_it_and_leaves_nothing_behind() {
    // Takes its turn, and gives it back before the start that must fail.
    drop(Service::start());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let service = Service::start_with(|builder| {
        // The turn is held here; nothing has been started yet.
        let refused = builder.address(address).start().unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("lens cannot listen on {address}; choose another with `Builder::address`")
        );
        lens::Builder::new().address(([127, 0, 0, 1], 0))
    });
    assert_eq!(service.value("1 + 1"), 2);
}

#[test]
fn a_short_token_and_a_taken_name_are_refused() {
    let service = Service::start_with(|_| {
        let short = lens::Builder::new().token("secret").start().unwrap_err();
        assert!(short.to_string().starts_with("the token is shorter than 16 letters"), "{short}");
        let taken = lens::Builder::new().no_listener().skill(crate::custom_skill::Counter::named("runtime")).start();
        assert_eq!(taken.unwrap_err().to_string(), "two skills are called `runtime`; give one of them another name");
        lens::Builder::new().address(([127, 0, 0, 1], 0))
    });
    assert_eq!(service.value("1 + 1"), 2);
}

#[test]
fn a_threshold_that_is_no_number_is_refused() {
    let service = Service::start_with(|_| {
        let start = |value: f64| lens::Builder::new().no_listener().threshold("blocking_call.MIN_MS", value).start();
        let refused = start(f64::NAN).unwrap_err().to_string();
        assert_eq!(refused, "the threshold `blocking_call.MIN_MS` is set to NaN; it takes a finite number");
        lens::Builder::new().address(([127, 0, 0, 1], 0))
    });
    assert_eq!(service.value("1 + 1"), 2);
}
