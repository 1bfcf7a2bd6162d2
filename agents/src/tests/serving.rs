//! Closures as agents: typed requests, what they refuse, what is carried on.

use testudo_wire::ContentType;

use super::net::{Net, Number, agent, can, remote, run};
use crate::{
    AgentError, AskError, Bus, ErrorCode, Handlers, HandlersError, HostOptions, Message, SendFailure, Served,
    host,
};

fn doubler() -> Served {
    Handlers::new()
        .on("double:numbers", |request: Number, _| async move { Ok(Number { n: request.n * 2 }) })
        .on("fail:numbers", |request: Number, _| async move {
            let code = ErrorCode::parse("too-odd").unwrap();
            Err::<Number, _>(AgentError::new(code, format_args!("{} is odd\u{1b}", request.n)))
        })
        .build()
        .unwrap()
}

fn net_with_doubler() -> Bus {
    let net = Net::new();
    let (wire, inbox) = net.join("doubler");
    let served = doubler();
    host(wire, inbox, move || served.clone(), HostOptions::default());
    net.caller()
}

fn failure(error: AskError) -> SendFailure {
    match error {
        AskError::Send(failure) => failure,
        AskError::Question(error) | AskError::Answer(error) => panic!("{error}"),
    }
}

#[test]
fn a_typed_question_has_a_typed_answer() {
    run(async {
        let bus = net_with_doubler();
        let answer: Number =
            bus.ask(agent("doubler"), can("double:numbers"), &Number { n: 21 }).await.unwrap();
        assert_eq!(answer, Number { n: 42 });
        let shape = bus.ask::<_, String>(agent("doubler"), can("double:numbers"), &Number { n: 1 }).await;
        assert!(matches!(shape, Err(AskError::Answer(_))), "{shape:?}");
    });
}

#[test]
fn bad_input_is_a_bad_request_and_harms_nobody() {
    run(async {
        let bus = net_with_doubler();
        let bad = serde_json::json!({"n": "many"});
        let asked = bus.ask::<_, Number>(agent("doubler"), can("double:numbers"), &bad).await;
        let (code, message) = remote(failure(asked.unwrap_err()));
        assert_eq!(code, "bad-request");
        assert!(message.contains("expected u64"), "{message}");
        let opaque = Message::new(agent("doubler"), can("double:numbers"), ContentType::text(), r#"{"n":1}"#);
        let (code, message) = remote(bus.request(opaque).await.unwrap_err());
        assert_eq!((code.as_str(), message.contains("text/plain")), ("bad-request", true), "{message}");
        let answer: Number =
            bus.ask(agent("doubler"), can("double:numbers"), &Number { n: 1 }).await.unwrap();
        assert_eq!(answer.n, 2);
    });
}

#[test]
fn an_unknown_capability_is_not_served() {
    run(async {
        let bus = net_with_doubler();
        let asked = bus.ask::<_, Number>(agent("doubler"), can("halve:numbers"), &Number { n: 1 }).await;
        let (code, message) = remote(failure(asked.unwrap_err()));
        assert_eq!((code.as_str(), message.as_str()), ("not-served", "halve:numbers is not served here"));
    });
}

#[test]
fn an_error_of_the_other_side_is_typed_and_harmless() {
    run(async {
        let bus = net_with_doubler();
        let asked = bus.ask::<_, Number>(agent("doubler"), can("fail:numbers"), &Number { n: 3 }).await;
        let (code, message) = remote(failure(asked.unwrap_err()));
        assert_eq!((code.as_str(), message.as_str()), ("too-odd", r"3 is odd\u{1b}"));
        let nobody = bus.ask::<_, Number>(agent("nobody"), can("double:numbers"), &Number { n: 3 }).await;
        assert!(matches!(failure(nobody.unwrap_err()), SendFailure::Refused { .. }));
    });
}

#[test]
fn the_correlation_is_carried_on_and_a_dependency_s_error_is_not_repeated() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("doubler");
        host(wire, inbox, doubler, HostOptions::default());
        let (wire, mut seen) = net.join("witness");
        drop(wire);
        let (wire, inbox) = net.join("front");
        let front = Handlers::new()
            .on("quadruple:numbers", |request: Number, context| async move {
                assert_eq!(context.bus().correlation(), Some(context.incoming().correlation));
                assert_eq!(context.sender().name.as_str(), "caller");
                let bus = context.bus();
                bus.tell(Message::json(agent("witness"), can("note:it"), &request).unwrap()).await?;
                let twice: Number = bus.ask(agent("doubler"), can("double:numbers"), &request).await?;
                Ok::<Number, _>(bus.ask(agent("doubler"), can("double:numbers"), &twice).await?)
            })
            .on("fail:through", |request: Number, context| async move {
                Ok::<Number, _>(context.bus().ask(agent("doubler"), can("fail:numbers"), &request).await?)
            })
            .build()
            .unwrap();
        host(wire, inbox, move || front.clone(), HostOptions::default());
        let bus = net.caller();
        let mut question = Message::json(agent("front"), can("quadruple:numbers"), &Number { n: 2 }).unwrap();
        let correlation = testudo_wire::CorrelationId::new([9; 16]);
        question.correlation = Some(correlation);
        assert_eq!(bus.request(question).await.unwrap().json::<Number>().unwrap().n, 8);
        assert_eq!(crate::Inbox::next(&mut seen).await.unwrap().incoming.correlation, correlation);
        let through = bus.ask::<_, Number>(agent("front"), can("fail:through"), &Number { n: 3 }).await;
        let (code, message) = remote(failure(through.unwrap_err()));
        assert_eq!((code.as_str(), message.contains("is odd")), ("dependency-failed", false), "{message}");
    });
}

#[test]
fn what_is_wrong_with_handlers_shows_when_they_are_built() {
    let echo = |request: Number, _| async move { Ok(request) };
    let wild = Handlers::new().on("read:*", echo).on("read:logs", echo).build();
    assert!(matches!(wild, Err(HandlersError::Name(_))), "{wild:?}");
    let twice = Handlers::new().on("read:logs", echo).on("read:logs", echo).build();
    assert_eq!(twice.unwrap_err(), HandlersError::Twice(can("read:logs")));
    assert_eq!(doubler().capabilities().count(), 2);
}
