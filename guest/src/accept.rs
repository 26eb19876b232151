//! Which of two media types a client would rather have (RFC 9110, 12.5.1).

/// Whether `Accept` names `wanted` and weighs it above `usual`.
///
/// A wildcard does not ask for what its sender may never have heard of; and whoever takes both alike gets the usual. Parameters other
/// than the weight are not looked at, since neither type has any.
pub(crate) fn prefers(header: &[u8], wanted: &str, usual: &str) -> bool {
    let mut named = false;
    let (mut of_wanted, mut of_usual) = (Weight::default(), Weight::default());
    for item in header.split(|&byte| byte == b',') {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let range = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight).unwrap_or(1000);
        named |= range.eq_ignore_ascii_case(wanted.as_bytes());
        of_wanted.take(range, wanted, weight);
        of_usual.take(range, usual, weight);
    }
    named && of_wanted.weight > of_usual.weight
}

/// What a list says of one media type: its most specific word counts.
#[derive(Default)]
struct Weight {
    specificity: u8,
    /// In thousandths.
    weight: u16,
}

impl Weight {
    fn take(&mut self, range: &[u8], media: &str, weight: u16) {
        let (kind, _) = media.split_once('/').unwrap_or((media, ""));
        let specificity = if range.eq_ignore_ascii_case(media.as_bytes()) {
            3
        } else if range
            .strip_suffix(b"/*")
            .is_some_and(|range| range.eq_ignore_ascii_case(kind.as_bytes()))
        {
            2
        } else if range == b"*/*" {
            1
        } else {
            return;
        };
        if specificity > self.specificity {
            *self = Self {
                specificity,
                weight,
            };
        } else if specificity == self.specificity {
            self.weight = self.weight.max(weight);
        }
    }
}

/// A weight in thousandths, where the parameter is one. One that cannot be understood weighs nothing.
fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else {
        return None;
    };
    let (whole, fraction) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return Some(0),
    };
    if !matches!(whole, b'0' | b'1') || !fraction.iter().all(u8::is_ascii_digit) {
        return Some(0);
    }
    let digits = fraction.iter().chain(b"000").take(3);
    let thousandths = digits.fold(u16::from(whole - b'0'), |sum, digit| {
        sum * 10 + u16::from(digit - b'0')
    });
    Some(if thousandths <= 1000 { thousandths } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::prefers;

    fn streams(header: &str) -> bool {
        prefers(
            header.as_bytes(),
            "application/x-ndjson",
            "application/json",
        )
    }

    #[test]
    fn whoever_asks_for_lines_alone_gets_them() {
        for header in [
            "application/x-ndjson",
            "Application/X-NDJSON",
            " application/x-ndjson ; q=0.1 ",
            "application/x-ndjson;charset=utf-8",
            "text/html, application/x-ndjson",
        ] {
            assert!(streams(header), "{header}");
        }
    }

    #[test]
    fn the_greater_weight_decides() {
        for (header, expected) in [
            ("application/x-ndjson, application/json;q=0.9", true),
            ("application/x-ndjson;q=0.9, application/json", false),
            ("application/json;q=0.5, application/x-ndjson;q=0.501", true),
            ("application/x-ndjson, */*;q=0.1", true),
            ("application/x-ndjson;q=0.2, application/*;q=0.5", false),
            (
                "application/x-ndjson;q=0.2, application/json;q=0.1, */*",
                true,
            ),
            ("application/x-ndjson;q=0, */*", false),
            ("application/x-ndjson;q=0", false),
            (
                "application/x-ndjson;q=1.000, application/json;q=0.999",
                true,
            ),
        ] {
            assert_eq!(streams(header), expected, "{header}");
        }
    }

    #[test]
    fn whoever_does_not_care_gets_the_list() {
        for header in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "text/html",
            "application/json, application/x-ndjson",
            "application/x-ndjson, */*",
            // Less of JSON is not yet a word for lines.
            "application/json;q=0.5, */*",
        ] {
            assert!(!streams(header), "{header}");
        }
    }

    #[test]
    fn what_cannot_be_understood_asks_for_nothing() {
        for header in [
            "application/x-ndjson;q=2",
            "application/x-ndjson;q=-1",
            "application/x-ndjson;q=",
            "application/x-ndjson;q=0.1234",
            "application/x-ndjson;q=1.001",
            "application/x-ndjson;q=x, */*",
            ",;,=;q",
            "ndjson",
        ] {
            assert!(!streams(header), "{header}");
        }
        assert!(streams(";,,application/x-ndjson,"));
        assert!(!prefers(
            b"\xff/\xfe, application/json",
            "application/x-ndjson",
            "application/json"
        ));
    }
}
