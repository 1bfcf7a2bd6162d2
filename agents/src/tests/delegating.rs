//! Acting for whoever asked: the token that comes with a request, what goes under it, what is handed on.

use std::collections::BTreeSet;
use std::sync::Arc;

use testudo_wire::ContentType;

use super::net::{Net, Number, agent, can, remote, run, settle, token};
use crate::{
    AgentError, Bus, Delegate, Handlers, HostOptions, Message, Served, delegated_content_type, host,
};

/// `work:for` asks the tool on behalf, `work:itself` as itself, `hand:on` says which token it would hand on.
fn worker() -> Served {
    Handlers::new()
        .on("work:for", |request: Number, context| async move {
            let bus = context.on_behalf().await?;
            assert_eq!(bus.correlation(), Some(context.incoming().correlation));
            Ok::<Number, _>(bus.ask(agent("tool"), can("use:tool"), &request).await?)
        })
        .on("work:itself", |request: Number, context| async move {
            Ok::<Number, _>(context.bus().ask(agent("tool"), can("use:tool"), &request).await?)
        })
        .on("hand:on", |_: Number, context| async move {
            let delegate = Delegate::new(agent("tool"), [can("use:tool")]);
            let mut texts = vec![context.delegate(&delegate).await?.as_str().to_owned()];
            if let Ok(bus) = context.on_behalf().await {
                texts.push(bus.delegate(&delegate).await?.as_str().to_owned());
            }
            texts.push(context.bus().delegate(&delegate).await?.as_str().to_owned());
            Ok(texts)
        })
        .on("show:it", |_: Number, context| async move { Ok(format!("{context:?}")) })
        .build()
        .unwrap()
}

fn scene() -> (Arc<Net>, Bus) {
    let net = Net::new();
    let tool = Handlers::new().on("use:tool", |n: Number, _| async move { Ok(n) }).build().unwrap();
    for (name, served) in [("worker", worker()), ("tool", tool)] {
        let (wire, inbox) = net.join(name);
        host(wire, inbox, move || served.clone(), HostOptions::default());
    }
    let bus = net.caller();
    (net, bus)
}

fn ask(what: &str) -> Message {
    Message::json(agent("worker"), can(what), &Number { n: 5 }).unwrap()
}

#[test]
fn what_is_done_on_behalf_goes_under_the_token_that_came_and_nothing_else_does() {
    run(async {
        let (net, bus) = scene();
        let given = bus.delegate(&Delegate::new(agent("worker"), [can("use:tool")])).await.unwrap();
        assert_eq!(given, token("caller-to-worker"));
        let answer = bus.request(ask("work:itself").under(&given).unwrap()).await.unwrap();
        assert_eq!((answer.json::<Number>().unwrap().n, net.diary()), (5, vec![]));
        let answer = bus.request(ask("work:for").under(&given).unwrap()).await.unwrap();
        assert_eq!(answer.json::<Number>().unwrap().n, 5);
        assert_eq!(net.diary(), ["worker sends use:tool under caller-to-worker"]);
    });
}

#[test]
fn without_a_token_or_with_another_s_nothing_is_done_on_behalf() {
    run(async {
        let (net, bus) = scene();
        let (code, message) = remote(bus.request(ask("work:for")).await.unwrap_err());
        assert_eq!((code.as_str(), message.contains("token")), ("bad-request", true), "{message}");
        let stolen = ask("work:for").under(&token("caller-to-other")).unwrap();
        assert_eq!(remote(bus.request(stolen).await.unwrap_err()).0, "dependency-failed");
        assert!(net.diary().is_empty());
    });
}

#[test]
fn a_delegation_comes_from_the_token_that_came_or_else_from_the_own_one() {
    run(async {
        let (_net, bus) = scene();
        let texts = |answer: crate::Answer| answer.json::<Vec<String>>().unwrap();
        let given = token("caller-to-worker");
        let handed = bus.request(ask("hand:on").under(&given).unwrap()).await.unwrap();
        let onward = "caller-to-worker-to-tool";
        assert_eq!(texts(handed), [onward, onward, "worker-to-tool"]);
        let handed = bus.request(ask("hand:on")).await.unwrap();
        assert_eq!(texts(handed), ["worker-to-tool", "worker-to-tool"]);
    });
}

#[test]
fn no_debug_shows_a_token() {
    run(async {
        let (_net, bus) = scene();
        let shown = bus.request(ask("show:it").under(&token("caller-to-worker")).unwrap()).await.unwrap();
        let shown: String = shown.json().unwrap();
        assert!(shown.contains("delegated: true") && !shown.contains("caller-to-worker"), "{shown}");
    });
}

#[test]
fn what_does_not_unwrap_is_a_bad_request_that_no_handler_sees() {
    run(async {
        let (net, bus) = scene();
        for body in ["", "{}", r#"{"token":"t","type":"application/json","body":"{\"n\":5}","x":1}"#] {
            let message = Message::new(agent("worker"), can("work:itself"), delegated_content_type(), body);
            let (code, text) = remote(bus.request(message).await.unwrap_err());
            assert_eq!((code.as_str(), text.contains("delegated request")), ("bad-request", true), "{text}");
        }
        net.servers.lock().unwrap().insert(can("work:itself"), agent("worker"));
        let mut service = ask("work:itself").under(&token("caller-to-worker")).unwrap();
        service.to = crate::To::Service;
        assert_eq!(remote(bus.request(service).await.unwrap_err()).0, "bad-request");
        let inner = Message::new(agent("worker"), can("work:itself"), ContentType::text(), "5");
        let (code, text) = remote(bus.request(inner.under(&token("t")).unwrap()).await.unwrap_err());
        assert_eq!((code.as_str(), text.contains("text/plain")), ("bad-request", true), "{text}");
        settle().await;
        assert_eq!(net.taken(), 5, "the tool was never asked");
    });
}

#[test]
fn a_delegation_is_narrow_unless_more_is_said() {
    let plain = Delegate::new(agent("tool"), [can("use:tool")]);
    assert_eq!((plain.onward.len(), plain.hops, plain.lives), (0, 0, Delegate::LIVES));
    let wide = plain.onward([can("use:tool")], 2).lives(std::time::Duration::from_secs(1));
    assert_eq!((wide.onward, wide.hops), (BTreeSet::from([can("use:tool")]), 2));
    let error = AgentError::from(crate::DelegatedError::Nested);
    assert_eq!(error.code().as_str(), "failed");
}
