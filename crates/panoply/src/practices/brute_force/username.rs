//! One user, however the name is spelled.
//!
//! A guess for `Tim` is a guess for `tim`: apps compare names in their own ways (small letters, trimmed, MySQL's
//! collations even without accents), and what one of them takes for the same name has to be the same here, or each
//! spelling is a fresh start for the attacker. Two users who share a spelling share a count, which costs little.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// The spelling under which a name is counted.
///
/// Compatibility decomposition (NFKD, UAX #15), without accents, white space as single blanks and none at the ends,
/// without what is not seen (controls, zero width, directions), letters folded by way of capitals and small ones. At
/// most 512 characters: what is longer counts by its beginning.
///
/// ```
/// use panoply::practices::brute_force::username::normalised;
///
/// assert_eq!(normalised(" Tim\u{200d} O\u{2019}Hara "), "tim o\u{2019}hara");
/// assert_eq!(normalised("ＴＩＭ"), normalised("tim"));
/// assert_eq!(normalised("JOSÉ"), normalised("jose\u{301}"));
/// assert_eq!(normalised("T.im+2@GMail.com"), "tim@gmail.com");
/// ```
#[must_use]
pub fn normalised(name: &str) -> String {
    // By way of capitals: ß and ẞ, ς and σ have small letters of their own, and one capital. Lazy to the end, so that
    // no name is decomposed further than it counts: one character can become eighteen.
    let letters = name
        .nfkd()
        .filter(|char| !is_left_out(*char))
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkd()
        .filter(|char| !is_left_out(*char));
    let mut out = Vec::new();
    let (mut length, mut is_apart) = (0, false);
    for char in letters {
        if length == LONGEST {
            break;
        }
        if char.is_whitespace() {
            is_apart = length > 0;
            continue;
        }
        if std::mem::take(&mut is_apart) {
            length += 1;
            out.push(' ');
            if length == LONGEST {
                out.pop();
                break;
            }
        }
        length += 1;
        put(&mut out, char);
    }
    let out: String = out.into_iter().collect();
    mailbox(&out).unwrap_or(out)
}

/// The address that one of e-mail stands for: without what is only for its owner to sort by, and as its provider reads
/// it. `None`: it is none.
fn mailbox(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let domain = if domain == "googlemail.com" { "gmail.com" } else { domain };
    let is_yahoo = domain.starts_with("yahoo.") || matches!(domain, "ymail.com" | "rocketmail.com");
    let is_aside = |char: char| char == '+' || (is_yahoo && char == '-');
    let local = match local.char_indices().skip(1).find(|(_, char)| is_aside(*char)) {
        Some((at, _)) => local.get(..at)?,
        None => local,
    };
    if domain == "gmail.com" {
        return Some(format!("{}@{domain}", local.replace('.', "").trim_start()));
    }
    Some(format!("{local}@{domain}"))
}

/// Marks stand in their canonical order (UAX #15), and an iota before them: the one below a letter stands behind its marks,
/// and in capitals, where it is a letter, on either side of them.
fn put(out: &mut Vec<char>, char: char) {
    let class = match (char, canonical_combining_class(char)) {
        (other, 0) if other != 'ι' => return out.push(other),
        (_, class) => class,
    };
    let stays = |before: &char| {
        let before = canonical_combining_class(*before);
        before == 0 || before <= class
    };
    let at = out.iter().rposition(stays).map_or(0, |last| last + 1);
    out.insert(at, char);
}

/// What is not seen, or is an accent: Default_Ignorable_Code_Point (UAX #44), controls, the diacritics of Latin,
/// Greek and Cyrillic but for the iota below, which is a letter in capitals, and what stands for bytes that were no text. Marks of other scripts are letters to those who
/// write them.
fn is_left_out(char: char) -> bool {
    (char.is_control() && !char.is_whitespace())
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffd}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
        || matches!(char,
            '\u{300}'..='\u{344}' | '\u{346}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// In characters; an address of e-mail has at most 254 (RFC 5321 §4.5.3.1).
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        for (one, other) in [
            ("tim", "TIM"),
            ("tim", "  tim\t\n"),
            ("tim", "ｔｉｍ"),
            ("tim", "t\u{200d}i\u{feff}m\u{ad}"),
            ("tim", "\u{202e}tim\0"),
            ("tim", "𝕥𝕚𝕞"),
            ("tim", "tim\u{fffd}"),
            ("ann lee", "Ann \u{a0}\u{3000} Lee"),
            ("é", "e\u{301}"),
            ("jose", "José"),
            ("strasse", "STRASSE"),
            ("straße", "STRASSE"),
            ("ς", "Σ"),
            ("ﬁn", "FIN"),
            ("İ", "i"),
            ("\u{212a}", "k"), // the Kelvin sign
            ("ǅ", "dz"),
            ("tim@shop.example", "Tim+news@Shop.example"),
            ("tim.lee@gmail.com", "t.i.m.lee+x+y@GoogleMail.com"),
            ("tim@yahoo.co.uk", "tim-shoes@yahoo.co.uk"),
            ("ῲ\u{610}", "ῺΙ\u{610}"), // an iota below, and a mark of another script
            ("ω\u{610}\u{345}", "Ω\u{610}Ι"),
        ] {
            assert_eq!(normalised(one), normalised(other), "{one:?} {other:?}");
        }
        for (one, other) in [
            ("tim", "tom"),
            ("ann lee", "annlee"),
            ("i", "l"),
            ("", "a"),
            ("कि", "कु"),
            ("t.im@shop.example", "tim@shop.example"),
            ("t-im@shop.example", "t@shop.example"),
            ("+a@x", "+b@x"),
            ("a+b", "a+c"),
        ] {
            assert_ne!(normalised(one), normalised(other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn no_name_blows_up() {
        for name in
            ["\u{fdfa}".repeat(21_000), "\u{301}".repeat(32_000), " ".repeat(64_000), "x y".repeat(20_000)]
        {
            let short = normalised(&name);
            assert!(short.chars().count() <= LONGEST, "{} characters", short.chars().count());
            assert_eq!(normalised(&short), short);
        }
    }

    #[test]
    fn each_character_is_normalised_at_once() {
        for char in (0..=0x10_ffff).filter_map(char::from_u32) {
            let once = normalised(&char.to_string());
            assert_eq!(normalised(&once), once, "{char:?}");
        }
    }

    /// Letters with an iota below and beside them, and marks of several classes.
    const MARKED: &str = "[aωιΩΙᾳῲΐ \u{300}\u{345}\u{610}\u{64b}\u{5b0}\u{94d}]{0,12}";

    proptest! {
        #[test]
        fn twice_is_once(name in "\\PC{0,40}", mail in "[a. +-]{0,6}@(gmail.com|googlemail.com|yahoo.de|x|)", spaced in "[a-cA-C \u{300}\u{345}\u{1e9b}ßſςŉΐﬃ가㍿\u{200d}]{0,20}") {
            for name in [name, mail, spaced] {
                let once = normalised(&name);
                prop_assert_eq!(normalised(&once), once);
            }
        }

        #[test]
        fn case_changes_nothing(name in "\\PC{0,20}", marked in MARKED) {
            for name in [name, marked] {
                prop_assert_eq!(normalised(&name.to_uppercase()), normalised(&name));
            }
        }

        #[test]
        fn marks_in_any_number_are_put_in_order_once(marked in MARKED) {
            let once = normalised(&marked);
            prop_assert_eq!(normalised(&once), once);
        }
    }
}
