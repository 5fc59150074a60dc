mod line;
mod out;
mod turns;

use super::focus::{Event, Filter, KEY, next};

#[test]
fn the_key() {
    let mut filter = Filter::new();
    let mut all = |bytes: &[u8]| bytes.iter().filter_map(|byte| filter.input(*byte)).collect::<Vec<_>>();
    assert_eq!(all(b"a1nq"), b"a1nq".map(Event::ToGuest));
    assert_eq!(all(&[KEY, b'1', KEY, b'9', b'1']), [Event::Focus(0), Event::Focus(8), Event::ToGuest(b'1')]);
    assert_eq!(
        all(&[KEY, b'n', KEY, b'?', KEY, b'a', KEY, b'c', KEY, b'q']),
        [Event::Next, Event::Help, Event::Audit, Event::Crash, Event::Quit]
    );
    assert_eq!(
        all(&[KEY, KEY, b'q', KEY, b'0', b'x']),
        [Event::ToGuest(KEY), Event::ToGuest(b'q'), Event::Help, Event::ToGuest(b'x')]
    );
}

#[test]
fn the_next_one() {
    assert_eq!(next(0, 3, |_| true), Some(1));
    assert_eq!(next(2, 3, |_| true), Some(0));
    assert_eq!(next(0, 3, |partition| partition == 2), Some(2));
    assert_eq!(next(1, 3, |partition| partition == 1), Some(1));
    assert_eq!(next(0, 3, |_| false), None);
    assert_eq!((next(7, 0, |_| true), next(usize::MAX, 2, |_| true)), (None, Some(0)));
}
