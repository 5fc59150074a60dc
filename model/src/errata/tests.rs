use super::*;
use crate::midr;

fn numbers(midr: u64) -> Vec<&'static str> {
    of(Midr(midr)).map(|erratum| erratum.number).collect()
}

#[test]
fn errata_are_of_the_core_and_its_release() {
    // Cortex-A72 r0p3, as on a Raspberry Pi 4, and r1p0.
    assert_eq!(numbers(0x410f_d083), ["859971", "1319367", "1655431"]);
    assert_eq!(numbers(0x411f_d080), ["1319367", "1655431"]);
    assert_eq!(numbers(0x410f_d080), ["853709", "859971", "1319367", "1655431"]);
    // Cortex-A53 r0p4, as on a Raspberry Pi 3.
    assert_eq!(numbers(0x410f_d034), ["835769", "843419", "845719", "855873"]);
    assert!(numbers(0x410f_d032).contains(&"819472, 824069, 826319, 827319"));
    // Cortex-A76 r4p1, as on a Raspberry Pi 5.
    assert_eq!(numbers(0x414f_d0b1), ["3324349", "4193800"]);
    // Somebody else's core with the same part number.
    assert_eq!(numbers(0x420f_d083), [""; 0]);
}

#[test]
fn counts_in_words() {
    assert_eq!(Count(Midr(0x410f_d083)).to_string(), "3 errata: 2 settled, 1 firmware's");
    assert_eq!(Count(Midr(0x413f_d080)).to_string(), "2 errata: 2 settled");
    assert_eq!(Count(Midr(0x410f_d0d0)).to_string(), "3 errata: 1 settled, 1 the guest's, 1 OPEN");
    assert_eq!(Count(Midr(0x000f_0510)).to_string(), "no errata known");
    assert_eq!(Count(Midr(0x411f_d402)).to_string(), "1 erratum: 1 the guest's");
}

#[test]
fn an_erratum_in_words() {
    let erratum = Erratum {
        number: "1",
        kind: midr::CORTEX_A72,
        releases: (0, 3),
        what: "it may go wrong",
        answer: Answer::Open("nothing is done"),
    };
    assert_eq!(erratum.to_string(), "1 (it may go wrong): OPEN: nothing is done");
}

#[test]
fn the_table_is_in_order_and_says_each_once() {
    for (place, erratum) in ERRATA.iter().enumerate() {
        assert!(erratum.releases.0 <= erratum.releases.1, "{}", erratum.number);
        let mut later = ERRATA.iter().skip(place + 1);
        let twice = later.clone().any(|other| other.kind == erratum.kind && other.number == erratum.number);
        assert!(!twice, "{} of {} twice", erratum.number, erratum.kind);
        let apart = later.by_ref().skip_while(|other| other.kind == erratum.kind);
        assert!(
            !apart.into_iter().any(|other| other.kind == erratum.kind),
            "{} is in two places",
            erratum.kind
        );
        let (_, words) = erratum.answer.parts();
        assert!(!words.is_empty() && !erratum.what.contains('|') && !words.contains('|'));
    }
    assert!(of(Midr(0x410f_d080)).all(|erratum| erratum.kind == midr::CORTEX_A72));
}

/// docs/errata.md is made from the table. `UPDATE_DOCS=1` writes it.
#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn the_page_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errata.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page(), "docs/errata.md is not what the table says: run this test with UPDATE_DOCS=1");
}
