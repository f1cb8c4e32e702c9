//! Processor time and memory of a process, as the kernel keeps them.

use std::fs;

use crate::result::Cpu;

/// `/proc` counts in hundredths of a second, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// The pages of `/proc`.
const PAGE_BYTES: u64 = 4096;

/// Processor seconds of this process, and of the broker's where it is known, up to now.
#[derive(Clone, Copy, Debug)]
pub struct CpuReading {
    own_seconds: f64,
    broker: Option<(f64, u64)>,
}

impl CpuReading {
    /// Reads both.
    pub fn take(broker_pid: Option<u32>) -> CpuReading {
        let own = of_process("self").map_or(0.0, |(seconds, _)| seconds);
        CpuReading { own_seconds: own, broker: broker_pid.and_then(|pid| of_process(&pid.to_string())) }
    }

    /// What was used since then, for so many records.
    pub fn since(&self, earlier: &CpuReading, records: u64) -> Cpu {
        let each = |seconds: f64| if records == 0 { 0.0 } else { seconds * 1e6 / records as f64 };
        let own = self.own_seconds - earlier.own_seconds;
        let broker = self.broker.zip(earlier.broker).map(|(now, then)| now.0 - then.0);
        Cpu {
            generator_cpu_seconds: own,
            generator_cpu_us_per_record: each(own),
            broker_cpu_seconds: broker,
            broker_cpu_us_per_record: broker.map(each),
            broker_resident_bytes: self.broker.map(|(_, resident)| resident),
        }
    }
}

/// Whether such a process exists.
pub fn exists(pid: u32) -> bool {
    of_process(&pid.to_string()).is_some()
}

/// Processor seconds and resident bytes.
pub fn of_process(pid: &str) -> Option<(f64, u64)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, in brackets, may hold anything; what follows the last bracket are numbers from field 3 on.
fn parse(stat: &str) -> Option<(f64, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(((number(14)? + number(15)?) as f64 / TICKS_PER_SECOND, number(24)? * PAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_an_odd_name_is_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 10 0 0 0 250 50 0 0 20 0 4 0 100 1000000 512 18446744";
        assert_eq!(parse(stat), Some((3.0, 512 * 4096)));
        assert_eq!(parse("no process"), None);
    }

    #[test]
    fn this_process_exists_and_uses_time() {
        assert!(exists(std::process::id()) && !exists(u32::MAX));
        let reading = CpuReading::take(Some(std::process::id()));
        let cpu = reading.since(&CpuReading { own_seconds: 0.0, broker: Some((0.0, 0)) }, 10);
        assert_eq!(cpu.broker_cpu_seconds, Some(cpu.generator_cpu_seconds));
        assert!(cpu.broker_resident_bytes.unwrap() > 0);
    }
}
