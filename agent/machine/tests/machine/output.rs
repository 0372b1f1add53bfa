//! What a program printed, cut down.

use keros_machine::shorten_output;
use keros_protocol::Output;

fn shortened(head: &str, tail: &str, max_bytes: usize) -> (String, u64, String) {
    let mut output = Output { head: head.to_owned(), omitted_bytes: 0, tail: tail.to_owned() };
    shorten_output(&mut output, max_bytes);
    (output.head, output.omitted_bytes, output.tail)
}

#[test]
fn both_ends_are_kept_and_all_bytes_are_counted() {
    let is = |head: &str, omitted, tail: &str| (head.to_owned(), omitted, tail.to_owned());
    assert_eq!(shortened("abc", "def", 6), is("abc", 0, "def"));
    assert_eq!(shortened("abcdef", "ghijkl", 6), is("abc", 6, "jkl"));
    assert_eq!(shortened("abcdefgh", "", 6), is("abcdef", 2, ""));
    assert_eq!(shortened("a", "bcdefgh", 6), is("a", 2, "defgh"));
    assert_eq!(shortened("éé", "éé", 3), is("é", 6, ""), "characters stay whole");
    assert_eq!(shortened("abc", "def", 0), is("", 6, ""));
}
