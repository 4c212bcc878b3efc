//! Turns come back as they went, for their owner, by their very ids.

use std::collections::BTreeMap;

use fingerpost_state::domain::{Continued, Error, Owners, Save, ids::ResponseId};

use crate::bed::{
    Bed, Engine, LIMITS, OWNER, id, input, item, item_id, not_found, object_id, output, redaction, response, save_in,
    save_redacted, turn,
};

pub async fn chains_load_oldest_first(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let ids = [id(1, 30), id(1, 10), id(1, 20)];
    bed.save(&ids[0], None).await.unwrap();
    bed.save(&ids[1], Some(&ids[0])).await.unwrap();
    bed.save(&ids[2], Some(&ids[1])).await.unwrap();
    assert_eq!(bed.chain(&ids[2]).await.unwrap(), ids.each_ref().map(turn));
    assert_eq!(bed.get(&ids[1]).await.unwrap(), response(&ids[1]));
    let listed = bed.conversations.input_items(OWNER, &ids[1]).await.unwrap();
    assert_eq!(listed, [input(&ids[0]), output(&ids[0]), input(&ids[1])].concat());
}

pub async fn branches_load_their_own_ancestors(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (root, left, right, leaf) = (id(1, 1), id(1, 2), id(1, 3), id(1, 4));
    bed.save(&root, None).await.unwrap();
    bed.save(&left, Some(&root)).await.unwrap();
    bed.save(&right, Some(&root)).await.unwrap();
    bed.save(&leaf, Some(&right)).await.unwrap();
    assert_eq!(bed.chain(&left).await.unwrap(), [turn(&root), turn(&left)]);
    assert_eq!(bed.chain(&leaf).await.unwrap(), [turn(&root), turn(&right), turn(&leaf)]);
}

pub async fn another_owner_finds_nothing(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (first, object) = (id(1, 1), object_id(1));
    bed.conversations.create(OWNER, &object, BTreeMap::new(), &[item(1, 9, 0, "a")]).await.unwrap();
    save_in(&bed.conversations, &first, None, Some(&object)).await.unwrap();
    let (all, other) = (&bed.conversations, "tenant-b");
    assert!(not_found(&all.response(other, &first).await));
    assert!(not_found(&all.input_items(other, &first).await));
    assert!(not_found(&all.delete_response(other, &first).await));
    assert!(not_found(&all.continued(other, Some(Continued::Response(&first)), &[]).await));
    assert!(not_found(&all.continued(other, Some(Continued::Conversation(&object)), &[]).await));
    assert!(not_found(&all.continued(other, None, &[item_id(1, 1, 0)]).await));
    assert!(not_found(&all.object(other, &object).await));
    assert!(not_found(&all.update(other, &object, BTreeMap::new()).await));
    assert!(not_found(&all.items(other, &object).await));
    assert!(not_found(&all.append(other, &object, &[item(1, 8, 0, "b")]).await));
    assert!(not_found(&all.delete_item(other, &object, &item_id(1, 9, 0)).await));
    assert!(not_found(&all.delete_object(other, &object).await));
    let (body, follow) = (response(&id(1, 2)), id(1, 2));
    let save =
        Save { id: &follow, parent: Some(&first), conversation: None, response: &body, input: &[], redactions: &[] };
    assert!(not_found(&all.save(other, save).await));
    // Nothing of it did anything.
    assert_eq!(bed.get(&first).await.unwrap(), response(&first));
    assert_eq!(all.items(OWNER, &object).await.unwrap().len(), 3);
}

pub async fn an_altered_id_finds_nothing(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let first = id(1, 1);
    bed.save(&first, None).await.unwrap();
    let altered = ResponseId::parse(&format!("resp_{:016x}{:016x}{:016x}", 8, 1, 1)).unwrap();
    assert!(not_found(&bed.get(&altered).await));
    assert!(not_found(&bed.chain(&altered).await));
    assert!(not_found(&bed.save(&id(1, 2), Some(&altered)).await));
    assert!(not_found(&bed.conversations.delete_response(OWNER, &altered).await));
    for other in [id(2, 1), id(1, 2)] {
        assert!(not_found(&bed.get(&other).await));
    }
}

pub async fn saving_twice_changes_nothing(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (first, second) = (id(1, 1), id(1, 2));
    bed.save(&first, None).await.unwrap();
    bed.save(&second, Some(&first)).await.unwrap();
    let before = bed.conversations.totals().await.unwrap();
    bed.save(&second, Some(&first)).await.unwrap();
    assert_eq!(bed.conversations.totals().await.unwrap(), before);
    assert!(matches!(bed.save(&second, None).await, Err(Error::Exists(_))));
    assert_eq!(bed.chain(&second).await.unwrap(), [turn(&first), turn(&second)]);
}

pub async fn a_missing_parent_is_told(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let error = bed.save(&id(1, 2), Some(&id(1, 1))).await.unwrap_err();
    assert_eq!(error.to_string(), format!("Response with id '{}' not found.", id(1, 1).as_str()));
    assert!(not_found(&bed.get(&id(1, 2)).await));
    let missing = save_in(&bed.conversations, &id(1, 2), None, Some(&object_id(1))).await;
    assert!(matches!(missing, Err(Error::ConversationNotFound(_))));
    assert_eq!(bed.conversations.totals().await.unwrap().conversations, 0);
}

pub async fn contradictions_are_refused(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (first, body) = (id(1, 1), response(&id(1, 1)));
    let refused = |result: Result<(), Error>| assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    refused(bed.save(&first, Some(&id(2, 1))).await);
    refused(bed.save(&first, Some(&first)).await);
    refused(save_in(&bed.conversations, &first, None, Some(&object_id(2))).await);
    let other = response(&id(1, 2));
    for (response, input) in [
        (other.as_slice(), b"{\"id\":\"x\"}".as_slice()),
        (b"{", b"{\"id\":\"x\"}"),
        (&body, b"{}"),
        (&body, b"{\"id\":\"x\",\"text\":\"\xff\"}"),
        (&body, b"\"text\""),
        (&body, b"{\"id\":\"x\"}, {\"id\":\"y\"}"),
    ] {
        let input = vec![input.to_vec()];
        let save = Save { id: &first, parent: None, conversation: None, response, input: &input, redactions: &[] };
        refused(bed.conversations.save(OWNER, save).await);
    }
    assert_eq!(bed.conversations.totals().await.unwrap().conversations, 0);
}

pub async fn concurrent_follow_ups_all_survive(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let root = id(1, 1);
    bed.save(&root, None).await.unwrap();
    let services = [bed.conversations.clone(), bed.another(), bed.another()];
    let mut tasks = tokio::task::JoinSet::new();
    for node in 2..34 {
        let service = services[node as usize % services.len()].clone();
        tasks.spawn(async move { save_in(&service, &id(1, node), Some(&id(1, 1)), None).await });
    }
    while let Some(saved) = tasks.join_next().await {
        saved.unwrap().unwrap();
    }
    for node in 2..34 {
        assert_eq!(bed.chain(&id(1, node)).await.unwrap(), [turn(&root), turn(&id(1, node))]);
    }
    assert_eq!(bed.conversations.totals().await.unwrap().responses, 33);
}

pub async fn items_are_found_by_id(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    for conversation in [1, 2] {
        bed.save(&id(conversation, 1), None).await.unwrap();
    }
    let wanted = [item_id(2, 1, 0x8000), item_id(1, 1, 0), item_id(2, 1, 0)];
    let (turns, items) =
        bed.conversations.continued(OWNER, Some(Continued::Response(&id(1, 1))), &wanted).await.unwrap();
    assert_eq!(turns, [turn(&id(1, 1))]);
    assert_eq!(items, [output(&id(2, 1)), input(&id(1, 1)), input(&id(2, 1))].concat());
    for missing in [item_id(1, 1, 7), item_id(3, 1, 0), "msg_of-the-clients-own".to_owned()] {
        let result = bed.conversations.continued(OWNER, None, std::slice::from_ref(&missing)).await;
        assert!(matches!(result, Err(Error::ItemNotFound(id)) if id == missing));
    }
    // What is deleted is not referred to either.
    bed.save(&id(2, 2), Some(&id(2, 1))).await.unwrap();
    bed.delete(&id(2, 1)).await;
    assert!(not_found(&bed.conversations.continued(OWNER, None, &wanted[..1]).await));
}

pub async fn redactions_come_back_with_their_turns(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (first, second, third) = (id(1, 1), id(1, 2), id(1, 3));
    let (one, two) = (redaction("[PERSON_1]", 1), redaction("[PERSON_2]", 2));
    save_redacted(&bed, &first, None, None, std::slice::from_ref(&one)).await.unwrap();
    bed.save(&second, Some(&first)).await.unwrap();
    save_redacted(&bed, &third, Some(&second), None, &[two.clone(), one.clone()]).await.unwrap();
    let found: Vec<_> = bed.chain(&third).await.unwrap().into_iter().map(|turn| turn.redactions).collect();
    assert_eq!(found, [vec![one.clone()], vec![], vec![two.clone(), one.clone()]]);
    // Saving it again is saving the same; with other placeholders it is not.
    save_redacted(&bed, &third, Some(&second), None, &[two, one.clone()]).await.unwrap();
    let other = save_redacted(&bed, &third, Some(&second), None, &[one]).await;
    assert!(matches!(other, Err(Error::Exists(_))), "{other:?}");
    for id in [&third, &second, &first] {
        bed.delete(id).await;
    }
    assert_eq!(bed.conversations.totals().await.unwrap().conversations, 0, "nothing stays");
}

pub async fn what_an_older_key_made_goes_on(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (all, older) = (&bed.conversations, ["older".to_owned(), OWNER.to_owned()]);
    let now = Owners { current: "new", older: &older };
    let (first, second, third) = (id(1, 1), id(1, 2), id(1, 3));
    bed.save(&first, None).await.unwrap();
    let (body, items) = (response(&second), input(&second));
    let save =
        Save { id: &second, parent: Some(&first), conversation: None, response: &body, input: &items, redactions: &[] };
    all.save(now, save).await.unwrap();
    let (turns, found) = all.continued(now, Some(Continued::Response(&second)), &[item_id(1, 1, 0)]).await.unwrap();
    assert_eq!((turns, found), (vec![turn(&first), turn(&second)], input(&first)));
    // It is still the older owner's, and stays whole: without that key, nothing of it is found.
    assert_eq!(bed.ids(&second).await.len(), 2);
    assert!(not_found(&all.continued("new", Some(Continued::Response(&second)), &[]).await));
    let stranger = Owners { current: "new", older: &older[..1] };
    assert!(not_found(&all.continued(stranger, Some(Continued::Response(&second)), &[]).await));
    // What begins now is the new owner's.
    let fresh = id(2, 3);
    let (body, items) = (response(&fresh), input(&fresh));
    let save = Save { id: &fresh, parent: None, conversation: None, response: &body, input: &items, redactions: &[] };
    all.save(now, save).await.unwrap();
    assert_eq!(all.response("new", &fresh).await.unwrap(), body);
    assert!(not_found(&all.continued(now, Some(Continued::Response(&third)), &[]).await));
    assert_eq!(all.owning(now, 1).await.unwrap(), OWNER);
    assert_eq!((all.owning(now, 2).await.unwrap(), all.owning(now, 9).await.unwrap()), ("new", "new"));
}
