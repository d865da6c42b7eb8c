//! How bad a hole is: the record's own word, else what its CVSS vector comes to.

use cvss::Cvss;

use super::advisory::Severity;

impl Severity {
    /// npm's word, OSV's, GitHub's or CVSS's, in any case; `None` for others.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, severity)| *severity)
    }

    /// By CVSS's scale. 0 is no score: real records have it beside `CRITICAL`.
    #[must_use]
    pub fn from_score(score: f32) -> Option<Self> {
        match score {
            score if score >= 9.0 => Some(Self::Critical),
            score if score >= 7.0 => Some(Self::High),
            score if score >= 4.0 => Some(Self::Moderate),
            score if score > 0.0 => Some(Self::Low),
            _ => None,
        }
    }
}

/// The score of the newest CVSS among `vectors`; those that cannot be read do not count.
pub(super) fn score<'v>(vectors: impl IntoIterator<Item = &'v str>) -> Option<f32> {
    let read = |vector: &str| match vector.parse::<Cvss>() {
        Ok(cvss @ Cvss::CvssV40(_)) => Some((4, cvss.score())),
        Ok(cvss) => Some((3, cvss.score())),
        Err(_) => None,
    };
    let newest = vectors.into_iter().filter_map(read).max_by(|one, other| one.0.cmp(&other.0));
    #[expect(clippy::cast_possible_truncation, reason = "one decimal, at most 10.0")]
    newest.map(|(_, score)| score as f32)
}

const WORDS: [(&str, Severity); 6] = [
    ("low", Severity::Low),
    ("moderate", Severity::Moderate),
    ("medium", Severity::Moderate),
    ("important", Severity::High),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_scores_are_npms_severities() {
        for (word, severity) in [
            ("MODERATE", Some(Severity::Moderate)),
            ("Medium", Some(Severity::Moderate)),
            ("critical", Some(Severity::Critical)),
            ("UNKNOWN", None),
        ] {
            assert_eq!(Severity::from_word(word), severity, "{word}");
        }
        for (score, severity) in [
            (0.0, None),
            (f32::NAN, None),
            (0.1, Some(Severity::Low)),
            (3.9, Some(Severity::Low)),
            (4.0, Some(Severity::Moderate)),
            (7.0, Some(Severity::High)),
            (10.0, Some(Severity::Critical)),
        ] {
            assert_eq!(Severity::from_score(score), severity, "{score}");
        }
    }

    #[test]
    fn the_newest_vector_that_can_be_read_is_the_score() {
        let (three, four) = (
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:P/VC:N/VI:N/VA:N/SC:L/SI:L/SA:L",
        );
        for (vectors, expected) in [
            (vec![three], Some(9.8)),
            (vec![three, four], Some(5.3)),
            (vec![four, three], Some(5.3)),
            (vec!["CVSS:9/X", three], Some(9.8)),
            (vec!["high"], None),
            (vec![], None),
        ] {
            assert_eq!(score(vectors.clone()), expected, "{vectors:?}");
        }
    }
}
