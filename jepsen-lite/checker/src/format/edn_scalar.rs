//! EDN's scalars: strings, characters, words and numbers.
//!
//! Owns: their spelling, read and written. Never does: collections. Called by `edn`.

use super::FormatError;
use crate::Value;
use std::fmt::{self, Write as _};

/// The string that begins at `at`, which goes past it.
pub(super) fn text(text: &str, at: &mut usize) -> Result<String, FormatError> {
    let begin = *at;
    *at += 1;
    let mut out = String::new();
    loop {
        let rest = &text[*at..];
        let Some(stop) = rest.find(['"', '\\']) else {
            return Err(FormatError::at(text, begin, "this string is never closed"));
        };
        out.push_str(&rest[..stop]);
        *at += stop + 1;
        if rest.as_bytes()[stop] == b'"' {
            return Ok(out);
        }
        out.push(escape(text, at)?);
    }
}

fn escape(text: &str, at: &mut usize) -> Result<char, FormatError> {
    let begin = *at - 1;
    let Some(letter) = text[*at..].chars().next() else {
        return Err(FormatError::at(text, begin, "this string ends in its escape"));
    };
    *at += letter.len_utf8();
    Ok(match letter {
        't' => '\t',
        'r' => '\r',
        'n' => '\n',
        'b' => '\u{8}',
        'f' => '\u{c}',
        '\\' | '"' | '\'' => letter,
        '0'..='7' => {
            let rest = &text[*at - 1..];
            let length = rest.bytes().take(3).take_while(|it| (b'0'..=b'7').contains(it)).count();
            *at += length - 1;
            let code = u32::from_str_radix(&rest[..length], 8).ok();
            code.and_then(char::from_u32)
                .ok_or_else(|| FormatError::at(text, begin, "not a character"))?
        }
        'u' => {
            let first = hex(text, at, begin)?;
            // Java writes what is past 16 bits as a pair of surrogates.
            let is_pair = (0xd800..0xdc00).contains(&first) && text[*at..].starts_with("\\u");
            let code = if is_pair {
                *at += 2;
                let second = hex(text, at, begin)?;
                0x1_0000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff)
            } else {
                first
            };
            char::from_u32(code).ok_or_else(|| FormatError::at(text, begin, "not a character"))?
        }
        other => {
            let what = format!("\\{other} is not an escape of a string");
            return Err(FormatError::at(text, begin, what));
        }
    })
}

fn hex(text: &str, at: &mut usize, begin: usize) -> Result<u32, FormatError> {
    let digits = text.get(*at..*at + 4).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
    let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    *at += 4;
    code.ok_or_else(|| FormatError::at(text, begin, "\\u has four hexadecimal digits"))
}

/// The character that begins at `at`, which goes past it.
pub(super) fn char(text: &str, at: &mut usize) -> Result<char, FormatError> {
    let begin = *at;
    let rest = &text[begin + 1..];
    let Some(first) = rest.chars().next().filter(|it| !it.is_whitespace()) else {
        return Err(FormatError::at(text, begin, "a character is missing after the backslash"));
    };
    let tail = &rest[first.len_utf8()..];
    let length = tail.find(|it: char| !it.is_alphanumeric()).unwrap_or(tail.len());
    let name = &rest[..first.len_utf8() + length];
    *at = begin + 1 + name.len();
    if name.len() == first.len_utf8() {
        return Ok(first);
    }
    let coded = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
    let found = match name {
        "newline" => Some('\n'),
        "return" => Some('\r'),
        "space" => Some(' '),
        "tab" => Some('\t'),
        "backspace" => Some('\u{8}'),
        "formfeed" => Some('\u{c}'),
        _ if first == 'u' => coded(&name[1..], 16).and_then(char::from_u32),
        _ if first == 'o' => coded(&name[1..], 8).and_then(char::from_u32),
        _ => None,
    };
    found.ok_or_else(|| FormatError::at(text, begin, format!("\\{name} is not a character")))
}

/// A bare word: a keyword, a number, `nil`, a symbol.
pub(super) fn word(token: &str) -> Result<Value, String> {
    match token {
        "nil" => return Ok(Value::Nil),
        "true" => return Ok(Value::Bool(true)),
        "false" => return Ok(Value::Bool(false)),
        "" => return Err("not a value".to_owned()),
        _ => {}
    }
    if let Some(name) = token.strip_prefix(':') {
        return if name.is_empty() || name.starts_with(':') {
            Err(format!("{token} is not a keyword"))
        } else {
            Ok(Value::Keyword(name.to_owned()))
        };
    }
    if let Ok(number) = token.parse::<i64>() {
        return Ok(Value::Int(number));
    }
    let unsigned = token.trim_start_matches(['+', '-']);
    if unsigned.starts_with(|it: char| it.is_ascii_digit()) {
        return number(token).ok_or_else(|| format!("{token} is not a number"));
    }
    if token.starts_with(['^', '\'', '`', '@', '~']) {
        return Err(format!("{token} is not EDN"));
    }
    Ok(Value::Symbol(token.to_owned()))
}

fn number(token: &str) -> Option<Value> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let whole = |text: &str| digits(text.strip_prefix(['+', '-']).unwrap_or(text));
    let written = || Value::Number(token.to_owned());
    if let Some(whole_part) = token.strip_suffix('N') {
        // Clojure's (= 1 1N) is true.
        let small = whole_part.parse().map(Value::Int);
        return whole(whole_part).then(|| small.unwrap_or_else(|_| written()));
    }
    if let Some(decimal) = token.strip_suffix('M') {
        return decimal.parse::<f64>().ok().map(|_| written());
    }
    if let Some((above, below)) = token.split_once('/') {
        return (whole(above) && digits(below)).then(written);
    }
    if whole(token) {
        return Some(Value::Number(format!("{token}N")));
    }
    let is_float = |it: u8| it.is_ascii_digit() || matches!(it, b'.' | b'e' | b'E' | b'+' | b'-');
    token.bytes().all(is_float).then(|| token.parse().ok().map(Value::Float))?
}

/// Whether a keyword of this name reads back as itself.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |it: char| it.is_alphanumeric() || "*!_?<>=./+-$&%'|#:".contains(it);
    !name.is_empty() && !name.starts_with(':') && name.chars().all(allowed)
}

/// Writes a scalar so that it reads back as itself.
pub(super) fn write(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Nil => f.write_str("nil"),
        Value::Bool(it) => write!(f, "{it}"),
        Value::Int(it) => write!(f, "{it}"),
        Value::Float(it) if it.is_nan() => f.write_str("##NaN"),
        Value::Float(it) if it.is_infinite() && *it > 0.0 => f.write_str("##Inf"),
        Value::Float(it) if it.is_infinite() => f.write_str("##-Inf"),
        Value::Float(it) => write!(f, "{it:?}"),
        Value::Number(it) | Value::Symbol(it) => f.write_str(it),
        Value::Keyword(it) => write!(f, ":{it}"),
        Value::Char(it) => match it {
            '\n' => f.write_str("\\newline"),
            '\r' => f.write_str("\\return"),
            ' ' => f.write_str("\\space"),
            '\t' => f.write_str("\\tab"),
            other if other.is_control() || other.is_whitespace() => {
                write!(f, "\\u{:04x}", u32::from(*other))
            }
            other => write!(f, "\\{other}"),
        },
        Value::Text(it) => {
            f.write_char('"')?;
            for letter in it.chars() {
                match letter {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    other => f.write_char(other)?,
                }
            }
            f.write_char('"')
        }
        Value::List(_) | Value::Map(_) | Value::Set(_) | Value::Tagged(..) => Ok(()),
    }
}
