//! What a newer file says of the connections themselves, which can be gone over to while the gateway runs: a source closes its connection in
//! order and opens the new one; the others do not notice.

use std::sync::Arc;

use crate::config::{Config, MachineConfig, Origin};
use crate::source::tags;

/// The running configuration with the endpoints and addresses of a newer one, as far as these can be gone over to: the list of sources
/// must be the same, and a machine's values must keep their names and sources.
pub(super) fn adopted(running: &Config, new: &Config) -> Config {
    let mut adopted = running.clone();
    let names = |config: &Config| config.sources.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
    if names(running) != names(new) {
        return adopted;
    }
    adopted.sources.iter_mut().zip(&new.sources).for_each(|(source, new)| source.kind.clone_from(&new.kind));
    for machine in &mut adopted.machines {
        let same = new.machines.iter().find(|m| m.name == machine.name);
        if let Some(with) = same.and_then(|new| with_origins_of(machine, new)) {
            *machine = Arc::new(with);
        }
    }
    adopted
}

/// Names of the sources that have to connect anew.
pub(super) fn changed(running: &Config, adopted: &Config) -> Vec<Arc<str>> {
    let sources = running.sources.iter().zip(&adopted.sources).enumerate();
    let differs = sources.filter(|(k, (old, new))| old.kind != new.kind || tags(running, *k) != tags(adopted, *k));
    differs.map(|(_, (source, _))| source.name.clone()).collect()
}

/// `None` where the values are others.
fn with_origins_of(machine: &MachineConfig, new: &MachineConfig) -> Option<MachineConfig> {
    let mut with = machine.clone();
    let names = |m: &MachineConfig| {
        let signals = m.signals.iter().map(|s| (s.name.clone(), Some(s.shape)));
        let settings = m.settings.iter().map(|s| (s.name.clone(), None));
        signals.chain(settings).chain(m.labels().map(|l| (l.name.clone(), None))).collect::<Vec<_>>()
    };
    if names(machine) != names(new) {
        return None;
    }
    let labels = with.models.iter_mut().filter_map(|m| m.performance.as_mut()).map(|p| &mut p.label.origin);
    let origins = with.signals.iter_mut().map(|s| &mut s.origin).chain(with.settings.iter_mut().map(|s| &mut s.origin)).chain(labels);
    let wanted = new.signals.iter().map(|s| &s.origin).chain(new.settings.iter().map(|s| &s.origin)).chain(new.labels().map(|l| &l.origin));
    for (origin, wanted) in origins.zip(wanted) {
        let source = |origin: &Option<Origin>| origin.as_ref().map(|o| o.source);
        if source(origin) != source(wanted) {
            return None;
        }
        origin.clone_from(wanted);
    }
    Some(with)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[[sources]]
name = "P"
protocol = "modbus"
endpoint = "tcp://127.0.0.1:1"
[[sources]]
name = "Q"
protocol = "modbus"
endpoint = "tcp://127.0.0.1:2"
[[machines]]
name = "M"
period = "1s"
[[machines.signals]]
name = "a"
source = "P"
address = "holding:1"
[[machines.signals]]
name = "b"
source = "Q"
address = "holding:1"
"#;

    /// Whether all of the newer file is gone over to, and by which sources.
    fn over(from: &str, to: &str) -> (bool, Vec<String>) {
        assert!(FILE.contains(from), "{from}");
        let (running, new) = (Config::parse(FILE).unwrap(), Config::parse(&FILE.replacen(from, to, 1)).unwrap());
        let adopted = adopted(&running, &new);
        let whole = (&adopted.sources, &adopted.machines) == (&new.sources, &new.machines);
        (whole, changed(&running, &adopted).iter().map(ToString::to_string).collect())
    }

    #[test]
    fn endpoints_and_addresses_concern_their_source_alone() {
        assert_eq!(over("127.0.0.1:2", "127.0.0.1:3"), (true, vec!["Q".into()]));
        assert_eq!(
            over("endpoint = \"tcp://127.0.0.1:1\"", "endpoint = \"tcp://127.0.0.1:1\"\ntimeout = \"2s\""),
            (true, vec!["P".into()])
        );
        assert_eq!(over("holding:1", "holding:7"), (true, vec!["P".into()]));
        assert_eq!(over("address = \"holding:1\"", "address = \"holding:1\"\nscale = 0.1"), (true, vec!["P".into()]));
    }

    #[test]
    fn other_values_and_sources_wait_for_a_restart() {
        assert_eq!(over("name = \"b\"\nsource = \"Q\"", "name = \"b\"\nsource = \"P\""), (false, vec![]));
        assert_eq!(over("name = \"b\"", "name = \"c\""), (false, vec![]));
        let more = "[[sources]]\nname = \"R\"\nprotocol = \"modbus\"\nendpoint = \"tcp://127.0.0.1:2\"\n[[machines]]\n";
        assert_eq!(over("[[machines]]\n", more), (false, vec![]));
    }
}
