//! DELETE hides at once and frees when it can.

use crate::bed::{Bed, Engine, LIMITS, OWNER, id, not_found, turn};
use fingerpost_state::domain::port::{Fields, Key};

async fn fields(bed: &Bed) -> usize {
    bed.store.read(Key::new(OWNER, 1), &Fields::All).await.unwrap().map_or(0, |snapshot| snapshot.fields.len())
}

pub async fn a_deleted_response_is_hidden_at_once(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (first, second) = (id(1, 1), id(1, 2));
    bed.save(&first, None).await.unwrap();
    bed.save(&second, Some(&first)).await.unwrap();
    bed.delete(&first).await;
    assert!(not_found(&bed.get(&first).await));
    assert!(not_found(&bed.chain(&first).await));
    assert!(not_found(&bed.conversations.input_items(OWNER, &first).await));
    assert!(not_found(&bed.save(&id(1, 3), Some(&first)).await));
    assert!(not_found(&bed.conversations.delete_response(OWNER, &first).await));
}

pub async fn children_keep_their_deleted_parents(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (root, left, right, leaf) = (id(1, 1), id(1, 2), id(1, 3), id(1, 4));
    bed.save(&root, None).await.unwrap();
    bed.save(&left, Some(&root)).await.unwrap();
    bed.save(&right, Some(&root)).await.unwrap();
    bed.save(&leaf, Some(&right)).await.unwrap();
    bed.delete(&right).await;
    bed.delete(&root).await;
    bed.delete(&left).await;
    assert_eq!(bed.chain(&leaf).await.unwrap(), [turn(&root), turn(&right), turn(&leaf)]);
    let next = id(1, 5);
    bed.save(&next, Some(&leaf)).await.unwrap();
    assert_eq!(bed.ids(&next).await, [&root, &right, &leaf, &next].map(|id| id.as_str()));
}

pub async fn what_nobody_needs_is_gone(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let (root, left, right) = (id(1, 1), id(1, 2), id(1, 3));
    bed.save(&root, None).await.unwrap();
    bed.save(&left, Some(&root)).await.unwrap();
    let before = fields(&bed).await;
    bed.save(&right, Some(&root)).await.unwrap();
    bed.delete(&right).await;
    assert_eq!(fields(&bed).await, before, "a leaf goes whole");
    bed.delete(&root).await;
    assert_eq!(fields(&bed).await, before, "a parent stays for its child");
    assert_eq!(bed.conversations.totals().await.unwrap().responses, 2);
}

pub async fn the_last_response_takes_the_conversation(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    let ids = [id(1, 1), id(1, 2), id(1, 3)];
    bed.save(&ids[0], None).await.unwrap();
    bed.save(&ids[1], Some(&ids[0])).await.unwrap();
    bed.save(&ids[2], Some(&ids[1])).await.unwrap();
    for id in &ids {
        bed.delete(id).await;
    }
    assert_eq!(fields(&bed).await, 0);
    let totals = bed.conversations.totals().await.unwrap();
    assert_eq!((totals.conversations, totals.responses), (0, 0));
    // Its number can be used anew.
    bed.save(&ids[0], None).await.unwrap();
    assert_eq!(bed.chain(&ids[0]).await.unwrap(), [turn(&ids[0])]);
}
