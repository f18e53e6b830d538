//! The reasons of a verdict, for people: results.json has each of them whole.
//!
//! Owns: what is left out. One bug breaks one rule a hundred times, and a reader wants to know
//! which rules are broken. Called by the page, the timeline, and `jepsen-lite run` and `mutants`.

/// The reasons told of one rule.
const TOLD_OF_A_RULE: usize = 2;
/// The longest reason on a terminal, in characters.
const CHARACTERS_MAX: usize = 200;

/// The first reasons of each rule, in their order, and how many more each has.
pub fn in_short(why: &[String]) -> Vec<String> {
    let mut rules: Vec<(&str, usize)> = Vec::new();
    let mut told = Vec::new();
    for reason in why {
        let rule = rule_of(reason);
        let known = rules.iter().position(|(name, _)| *name == rule);
        let at = known.unwrap_or(rules.len());
        if known.is_none() {
            rules.push((rule, 0));
        }
        rules[at].1 += 1;
        if rules[at].1 <= TOLD_OF_A_RULE {
            told.push(reason.clone());
        }
    }
    let more = rules.iter().filter(|(_, count)| *count > TOLD_OF_A_RULE);
    told.extend(more.map(|(rule, count)| format!("{rule}: {} more", count - TOLD_OF_A_RULE)));
    told
}

/// A reason that fits a terminal.
pub fn cut(reason: &str) -> String {
    match reason.char_indices().nth(CHARACTERS_MAX) {
        None => reason.to_owned(),
        Some((end, _)) => format!("{} …", reason[..end].trim_end()),
    }
}

/// A violation begins with its rule; any other reason is of a rule of its own.
fn rule_of(reason: &str) -> &str {
    match reason.split_once(": ") {
        Some((rule, _)) if !rule.contains(' ') => rule,
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_told_of() {
        let why = ["seq-forward: a", "seq-forward: b", "seq-forward: c", "real-time: d", "no buy"];
        let told = in_short(&why.map(str::to_owned));
        let expected =
            ["seq-forward: a", "seq-forward: b", "real-time: d", "no buy", "seq-forward: 1 more"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = "→".repeat(CHARACTERS_MAX + 1);
        assert_eq!(cut(&long), format!("{} …", "→".repeat(CHARACTERS_MAX)));
        assert_eq!(cut("short"), "short");
    }
}
