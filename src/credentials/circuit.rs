//! A circuit breaker for the backend.
//!
//! After several outages in a row, requests that have stale credentials stop asking: they get those
//! credentials at once, and every few seconds one of them probes the backend. Requests without stale
//! credentials still ask, because the alternative is an error anyway. They are probes too.

use super::backend::BackendFault;
use crate::host::UnixMillis;

/// Outages in a row that open the circuit.
const OUTAGES_TO_OPEN: u32 = 5;
/// How long the circuit is open before one request probes, in milliseconds.
const PROBE_MS: u64 = 5_000;

/// One isolate's circuit.
#[derive(Debug, Default)]
pub struct Circuit {
    outages: u32,
    /// The last outage.
    fault: Option<BackendFault>,
    probe_at: UnixMillis,
}

impl Circuit {
    /// Notes the outcome of asking the backend.
    pub(super) fn note<T>(&mut self, outcome: &Result<T, BackendFault>, now: UnixMillis) {
        match outcome {
            Err(fault) if fault.is_outage() => {
                self.outages = self.outages.saturating_add(1);
                self.fault = Some(fault.clone());
                self.probe_at = now + PROBE_MS;
            }
            // A refusal is an answer.
            _ => *self = Self::default(),
        }
    }

    /// The last outage, unless the backend has answered since.
    #[must_use]
    pub fn last_fault(&self) -> Option<BackendFault> {
        self.fault.clone()
    }

    /// The outage to assume instead of asking the backend. `None` if this request has to ask; while the
    /// circuit is open that makes it the probe.
    pub(super) fn known_outage(&mut self, now: UnixMillis) -> Option<BackendFault> {
        if self.outages < OUTAGES_TO_OPEN {
            return None;
        }
        if now >= self.probe_at {
            self.probe_at = now + PROBE_MS;
            return None;
        }
        self.fault.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::CallFault;

    const OUT: BackendFault = BackendFault::Call(CallFault::Timeout);

    fn refused() -> BackendFault {
        BackendFault::Refused {
            status: 401,
            detail: None,
        }
    }

    #[test]
    fn it_opens_after_five_outages_in_a_row_and_closes_with_an_answer() {
        for answer in [Ok(()), Err(refused())] {
            let mut circuit = Circuit::default();
            for _ in 0..4 {
                circuit.note::<()>(&Err(OUT), 0);
                assert_eq!(circuit.known_outage(0), None);
            }
            circuit.note(&answer, 0);
            for _ in 0..5 {
                assert_eq!(circuit.known_outage(0), None);
                circuit.note::<()>(&Err(OUT), 0);
            }
            assert_eq!(circuit.known_outage(0), Some(OUT));
            circuit.note(&answer, 0);
            assert_eq!(circuit.known_outage(0), None);
        }
    }

    #[test]
    fn while_it_is_open_one_request_probes_now_and_then() {
        let mut circuit = Circuit::default();
        for _ in 0..5 {
            circuit.note::<()>(&Err(OUT), 1000);
        }
        assert_eq!(circuit.known_outage(5999), Some(OUT));
        assert_eq!(circuit.known_outage(6000), None, "the probe");
        assert_eq!(circuit.known_outage(6000), Some(OUT), "the others");
        circuit.note::<()>(&Err(OUT), 8000);
        assert_eq!(circuit.known_outage(12_999), Some(OUT));
        assert_eq!(circuit.known_outage(13_000), None);
    }
}
