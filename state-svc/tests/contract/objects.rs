//! Conversation objects and their items.

use std::collections::BTreeMap;

use fingerpost_state::domain::{Continued, Error, Turn};

use crate::bed::{
    Bed, Engine, LIMITS, OWNER, TTL, id, input, item, item_id, not_found, object_id, output, redaction, save_in,
    save_redacted, turn,
};

pub async fn an_object_is_made_changed_and_deleted(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (all, one) = (&bed.conversations, object_id(1));
    let metadata = BTreeMap::from([("topic".to_owned(), "demo".to_owned())]);
    let made = all.create(OWNER, &one, metadata.clone(), &[]).await.unwrap();
    assert_eq!((made.id.as_str(), made.created_at, &made.metadata), (one.as_str(), 1_700_000_000, &metadata));
    assert_eq!(all.object(OWNER, &one).await.unwrap(), made);
    assert!(matches!(all.create(OWNER, &one, BTreeMap::new(), &[]).await, Err(Error::Exists(_))));
    bed.pass(TTL - 1);
    let changed = all.update(OWNER, &one, BTreeMap::new()).await.unwrap();
    assert_eq!((changed.created_at, changed.metadata.len()), (made.created_at, 0));
    bed.pass(TTL - 1);
    assert_eq!(all.object(OWNER, &one).await.unwrap(), changed);
    all.delete_object(OWNER, &one).await.unwrap();
    assert!(not_found(&all.object(OWNER, &one).await));
    assert!(not_found(&all.delete_object(OWNER, &one).await));
    assert_eq!(all.totals().await.unwrap().conversations, 0);
}

pub async fn items_are_listed_appended_and_deleted(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (all, one) = (&bed.conversations, object_id(1));
    let items: Vec<_> = (0..20).map(|n| item(1, 1, n, "x")).collect();
    all.create(OWNER, &one, BTreeMap::new(), &items[..2]).await.unwrap();
    for item in &items[2..] {
        all.append(OWNER, &one, std::slice::from_ref(item)).await.unwrap();
    }
    assert_eq!(all.items(OWNER, &one).await.unwrap(), items);
    let twice = all.append(OWNER, &one, &[item(1, 2, 0, "new"), items[3].clone()]).await;
    assert!(matches!(twice, Err(Error::DuplicateItem(id)) if id == item_id(1, 1, 3)));
    all.delete_item(OWNER, &one, &item_id(1, 1, 3)).await.unwrap();
    assert!(not_found(&all.delete_item(OWNER, &one, &item_id(1, 1, 3)).await));
    let left = all.items(OWNER, &one).await.unwrap();
    assert_eq!((left.len(), &left[3]), (19, &items[4]));
    let (_, found) = all.continued(OWNER, None, &[item_id(1, 1, 7)]).await.unwrap();
    assert_eq!(found, items[7..8]);
}

pub async fn a_response_appends_to_its_object(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (all, one) = (&bed.conversations, object_id(1));
    let seed = item(1, 99, 0, "seed");
    all.create(OWNER, &one, BTreeMap::new(), std::slice::from_ref(&seed)).await.unwrap();
    for node in [1, 2] {
        save_in(all, &id(1, node), None, Some(&one)).await.unwrap();
    }
    // Once more the same: nothing is appended twice.
    save_in(all, &id(1, 2), None, Some(&one)).await.unwrap();
    let (first, second) = (id(1, 1), id(1, 2));
    let expected = [vec![seed], input(&first), output(&first), input(&second), output(&second)].concat();
    assert_eq!(all.items(OWNER, &one).await.unwrap(), expected);
    let (turns, _) = all.continued(OWNER, Some(Continued::Conversation(&one)), &[]).await.unwrap();
    assert_eq!(turns, [Turn { input: expected, ..Turn::default() }]);
}

pub async fn concurrent_appends_all_survive(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let one = object_id(1);
    bed.conversations.create(OWNER, &one, BTreeMap::new(), &[]).await.unwrap();
    let services = [bed.conversations.clone(), bed.another()];
    let mut tasks = tokio::task::JoinSet::new();
    for node in 0..20 {
        let service = services[node as usize % 2].clone();
        tasks.spawn(async move { save_in(&service, &id(1, node), None, Some(&object_id(1))).await.unwrap() });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let items = bed.conversations.items(OWNER, &one).await.unwrap();
    assert_eq!(items.len(), 40);
    for node in 0..20 {
        let at = items.iter().position(|item| *item == input(&id(1, node))[0]).unwrap();
        assert_eq!(items[at + 1], output(&id(1, node))[0], "input and output stay together");
    }
}

pub async fn following_a_response_of_an_object_brings_its_items(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (all, one) = (&bed.conversations, object_id(1));
    let seed = item(1, 99, 0, "seed");
    all.create(OWNER, &one, BTreeMap::new(), std::slice::from_ref(&seed)).await.unwrap();
    let (first, second) = (id(1, 1), id(1, 2));
    save_in(all, &first, None, Some(&one)).await.unwrap();
    bed.save(&second, Some(&first)).await.unwrap();
    let before = Turn { input: vec![seed], ..Turn::default() };
    assert_eq!(bed.chain(&second).await.unwrap(), [before, turn(&first), turn(&second)]);
    // The branch is no part of the object.
    assert_eq!(all.items(OWNER, &one).await.unwrap().len(), 3);
}

pub async fn an_object_outlives_its_responses(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (all, one, first) = (&bed.conversations, object_id(1), id(1, 1));
    all.create(OWNER, &one, BTreeMap::new(), &[]).await.unwrap();
    save_in(all, &first, None, Some(&one)).await.unwrap();
    bed.delete(&first).await;
    assert!(not_found(&bed.get(&first).await));
    assert_eq!(all.items(OWNER, &one).await.unwrap().len(), 2);
    // And the other way round.
    let second = id(1, 2);
    save_in(all, &second, None, Some(&one)).await.unwrap();
    all.delete_object(OWNER, &one).await.unwrap();
    assert!(not_found(&all.items(OWNER, &one).await));
    assert!(not_found(&save_in(all, &id(1, 3), None, Some(&one)).await));
    assert_eq!(bed.chain(&second).await.unwrap().last(), Some(&turn(&second)));
}

pub async fn an_objects_placeholders_outlive_its_responses(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (all, object) = (&bed.conversations, object_id(1));
    let (one, two) = (redaction("[PERSON_1]", 1), redaction("[PERSON_2]", 2));
    all.create(OWNER, &object, BTreeMap::new(), &[]).await.unwrap();
    // Nodes are random: the order is that of the items.
    let (first, second) = (id(1, 9), id(1, 3));
    save_redacted(&bed, &first, None, Some(&object), std::slice::from_ref(&one)).await.unwrap();
    save_redacted(&bed, &second, None, Some(&object), std::slice::from_ref(&two)).await.unwrap();
    // The items of both turns are in the object, whatever becomes of the responses.
    let redactions = async || {
        let (turns, _) = all.continued(OWNER, Some(Continued::Conversation(&object)), &[]).await.unwrap();
        turns.into_iter().flat_map(|turn| turn.redactions).collect::<Vec<_>>()
    };
    assert_eq!(redactions().await, [one.clone(), two.clone()]);
    // A turn that began in the object has what came before it in front, and no more.
    let chain: Vec<_> = bed.chain(&second).await.unwrap().into_iter().map(|turn| turn.redactions).collect();
    assert_eq!(chain, [vec![one.clone()], vec![two.clone()]]);
    bed.delete(&first).await;
    assert_eq!(redactions().await, [one, two.clone()]);
    all.delete_object(OWNER, &object).await.unwrap();
    assert_eq!(bed.chain(&second).await.unwrap().last().unwrap().redactions, [two]);
    bed.delete(&second).await;
    assert_eq!(all.totals().await.unwrap().conversations, 0);
}
