//! Figures for people.

use std::time::Duration;

/// A number with thousands separators.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of jobs, in words.
pub(crate) fn jobs(number: usize) -> String {
    if number == 1 { "1 job".to_owned() } else { format!("{} jobs", grouped(number as u64)) }
}

/// A duration, rounded, in the unit that needs few digits.
pub(crate) fn about(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_time_has_a_unit() {
        let shown = [0, 9_900, 119_000, 120_000, 7_199_000, 86_400_000, 172_800_000]
            .map(|ms| about(Duration::from_millis(ms)));
        assert_eq!(shown, ["0.0 s", "9.9 s", "119 s", "2 min", "119 min", "24 h", "2 d"]);
    }
}
