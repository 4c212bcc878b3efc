//! A conversation that an instance keeps stays with it through everything that changes around it; and when that instance is gone,
//! that is said, and nobody else is asked.

use std::{collections::BTreeSet, sync::Arc};

use fingerpost_testbed::{
    client::Reply,
    fake::{Fake, FakeOptions},
    harness::{Stack, StackError},
    suite::Suite,
};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    common::assert_error,
    responses_common::{answered, ask, create, follow, get, id, respond, server, stored, streamed},
    responses_native::{native, turns_stay},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!(
        "responses_affinity",
        boot,
        [
            envoy_is_started_anew,
            endpoints_are_added,
            weights_change,
            the_first_choice_was_down,
            the_instance_is_gone,
            the_instance_is_configured_no_more,
        ]
    )
}

async fn boot() -> Result<Stack, StackError> {
    let models = ["stay", "fall", "gone"];
    let builder = models.iter().fold(Stack::builder(), |builder, name| builder.model(native(name, &name[..1])));
    builder.state(&json!({})).start().await
}

/// First turns, enough of them that every instance has some.
async fn first_turns(stack: &Stack, model: &str) -> Vec<Value> {
    let mut responses = Vec::new();
    for n in 0..16 {
        responses.push(respond(stack, &ask(model, format!("my name is F{n}"))).await);
    }
    let homes: BTreeSet<String> = responses.iter().map(server).collect();
    assert_eq!(homes.len(), 3, "{homes:?}");
    responses
}

/// All of them go on, and can be read, where they are.
async fn go_on(stack: &Stack, to: std::net::SocketAddr, model: &str, responses: &[Value]) {
    for response in responses {
        assert_eq!(&answered(to, get(id(response))).await, response);
        turns_stay(stack, to, response.clone(), model, 1).await;
    }
}

async fn envoy_is_started_anew(stack: Arc<Stack>) {
    let responses = first_turns(&stack, "stay").await;
    let envoy = stack.envoy_anew(|_| {}).await.unwrap();
    go_on(&stack, envoy.data, "stay", &responses).await;
}

/// The endpoints of a model in the document.
fn endpoints<'a>(document: &'a mut Value, model: &str) -> &'a mut Vec<Value> {
    let models = document["models"].as_array_mut().expect("models");
    let model = models.iter_mut().find(|known| known["name"] == model).expect("the model");
    model["endpoints"].as_array_mut().expect("endpoints")
}

async fn endpoints_are_added(stack: Arc<Stack>) {
    let responses = first_turns(&stack, "stay").await;
    let mut added = Vec::new();
    for n in 0..5 {
        added.push(Fake::start(FakeOptions::named(format!("added{n}"))).await.unwrap());
    }
    let envoy = stack.envoy_anew(|document| {
        let list =
            added.iter().map(|fake| json!({ "name": fake.name(), "address": fake.address().to_string(), "weight": 9 }));
        endpoints(document, "stay").splice(0..0, list);
    });
    let envoy = envoy.await.unwrap();
    go_on(&stack, envoy.data, "stay", &responses).await;
    assert!(added.iter().all(|fake| fake.requests().is_empty()));
    // They do take new conversations.
    for n in 0..16 {
        answered(envoy.data, create(&ask("stay", format!("new {n}")))).await;
    }
    assert!(added.iter().any(|fake| !fake.requests().is_empty()));
}

async fn weights_change(stack: Arc<Stack>) {
    let responses = first_turns(&stack, "stay").await;
    let envoy = stack.envoy_anew(|document| {
        for (endpoint, weight) in endpoints(document, "stay").iter_mut().zip([1, 50, 1000]) {
            endpoint["weight"] = weight.into();
        }
    });
    go_on(&stack, envoy.await.unwrap().data, "stay", &responses).await;
}

async fn the_first_choice_was_down(stack: Arc<Stack>) {
    let down = stack.fake("f2").unwrap();
    down.kill().await;
    let mut responses = Vec::new();
    for n in 0..12 {
        responses.push(respond(&stack, &ask("fall", format!("my name is D{n}"))).await);
    }
    assert!(responses.iter().all(|response| server(response) != "f2"), "{responses:?}");
    down.revive().await.unwrap();
    // The hash would choose f2 for some of them; what served has them.
    go_on(&stack, stack.address(), "fall", &responses).await;
    assert!(down.requests().is_empty(), "{:?}", down.requests());
}

fn gone(reply: &Reply) {
    let error = assert_error(reply, 503, "endpoint_unavailable");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("holds this conversation") && message.contains("no other"), "{message}");
}

async fn the_instance_is_gone(stack: Arc<Stack>) {
    let responses = first_turns(&stack, "gone").await;
    let dead = stack.fake("g1").unwrap();
    let others = || ["g2", "g3"].map(|name| stack.fake(name).unwrap().requests().len());
    dead.kill().await;
    let before = others();
    let held = responses.iter().filter(|response| server(response) == "g1");
    for response in held {
        gone(&stack.send(create(&follow("gone", response, "x"))).await.unwrap());
        gone(&streamed(&stack, &follow("gone", response, "x")).await);
        for (method, rest) in
            [(Method::GET, ""), (Method::GET, "/input_items"), (Method::POST, "/cancel"), (Method::DELETE, "")]
        {
            gone(&stack.send(stored(method, id(response), rest)).await.unwrap());
        }
    }
    assert_eq!(others(), before, "another instance was asked");
    // The others' go on, and it comes back with what it had.
    let alive: Vec<Value> = responses.iter().filter(|response| server(response) != "g1").cloned().collect();
    go_on(&stack, stack.address(), "gone", &alive).await;
    dead.revive().await.unwrap();
    go_on(&stack, stack.address(), "gone", &responses).await;
}

async fn the_instance_is_configured_no_more(stack: Arc<Stack>) {
    let responses = first_turns(&stack, "stay").await;
    let envoy = stack
        .envoy_anew(|document| endpoints(document, "stay").retain(|endpoint| endpoint["name"] != "s2"))
        .await
        .unwrap();
    let removed = stack.fake("s2").unwrap();
    let before = removed.requests().len();
    for response in responses.iter().filter(|response| server(response) == "s2") {
        gone(&create(&follow("stay", response, "x")).send(envoy.data).await.unwrap());
        gone(&get(id(response)).send(envoy.data).await.unwrap());
    }
    assert_eq!(removed.requests().len(), before);
    let kept: Vec<Value> = responses.iter().filter(|response| server(response) != "s2").cloned().collect();
    go_on(&stack, envoy.data, "stay", &kept).await;
    // The whole model is gone.
    let envoy = stack.envoy_anew(|document| {
        document["models"].as_array_mut().expect("models").retain(|model| model["name"] != "stay");
    });
    let envoy = envoy.await.unwrap();
    gone(&get(id(&responses[0])).send(envoy.data).await.unwrap());
    gone(&create(&follow("auto", &responses[0], "x")).send(envoy.data).await.unwrap());
}
