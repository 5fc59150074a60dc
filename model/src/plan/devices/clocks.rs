//! Fixed clocks: which outputs of a clock provider a partition's devices use, and at which rate each runs. The rate is
//! what the provider's node states: `clock-frequency`, one for all outputs, or one for each of `clock-indices`, the
//! common binding's list of outputs (dt-schema, clock.yaml). Nothing is asked of the hardware.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::dt::Node;

use super::Catalogue;
use super::give::Named;
use crate::dt::{cell, cells, value};
use crate::plan::{ErrorKind, FixedClock};

/// The outputs that are used: provider and arguments, and the first node that uses each.
pub(super) type Uses = BTreeMap<(usize, Vec<u32>), usize>;

/// Whether a property refers to clocks.
pub(super) fn is_clock_property(property: &str) -> bool {
    matches!(property, "clocks" | "assigned-clocks" | "assigned-clock-parents")
}

/// Each output in use at its rate, in the order of the overlay. A provider with a single output is there even if no
/// device uses it: `guest-tree` may.
pub(super) fn fix(
    catalogue: &Catalogue<'_>,
    named: &Named,
    mut uses: Uses,
) -> Result<Vec<FixedClock>, ErrorKind> {
    let mut fixed = Vec::new();
    for provider in &named.clocks {
        let Some(node) = catalogue.index.node(*provider) else { continue };
        let single = cell(node, "#clock-cells") == Some(0);
        if single {
            uses.entry((*provider, Vec::new())).or_insert(*provider);
        }
        let mine: Vec<(&[u32], usize)> = uses
            .iter()
            .filter(|((used, _), _)| used == provider)
            .map(|((_, output), user)| (output.as_slice(), *user))
            .collect();
        let path = catalogue.path(*provider);
        if mine.is_empty() {
            return Err(ErrorKind::ClockUnused(path));
        }
        let rates = Rates::read(node).ok_or_else(|| ErrorKind::ClockLists(path.clone()))?;
        let known: Vec<Option<u32>> = mine.iter().map(|(output, _)| rates.of(output)).collect();
        if let Some((_, user)) =
            mine.iter().zip(&known).find(|(_, rate)| rate.is_none()).map(|(use_, _)| use_)
        {
            return Err(match single {
                true => {
                    let cure = fragment(&path, None, &known);
                    ErrorKind::NoRate(path, cure)
                }
                false => {
                    let outputs: Vec<String> = mine.iter().map(|(output, _)| words(output)).collect();
                    let cure = fragment(&path, Some(outputs.join(" ")), &known);
                    let lacking = mine.iter().zip(&known).filter(|(_, rate)| rate.is_none());
                    let lacking: Vec<String> = lacking.map(|((output, _), _)| words(output)).collect();
                    let (lacking, user) = (lacking.join(", "), catalogue.path(*user));
                    ErrorKind::NoOutputRate(path.into(), lacking.into(), user.into(), cure.into())
                }
            });
        }
        fixed.extend(mine.iter().zip(known).filter_map(|((output, _), hz)| {
            Some(FixedClock { provider: path.clone(), output: (*output).to_owned(), hz: hz? })
        }));
    }
    Ok(fixed)
}

/// The fragment of the overlay that states the rates; `...` where one has to be filled in.
fn fragment(path: &str, outputs: Option<String>, known: &[Option<u32>]) -> String {
    let rates: Vec<String> =
        known.iter().map(|rate| rate.map_or("...".to_owned(), |rate| rate.to_string())).collect();
    let indices = outputs.map_or(String::new(), |outputs| format!("clock-indices = <{outputs}>; "));
    format!("&{{{path}}} {{ {indices}clock-frequency = <{}>; }};", rates.join(" "))
}

fn words(output: &[u32]) -> String {
    output.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What a provider's node states.
struct Rates {
    hz: Vec<u32>,
    /// The outputs that the rates are of; none: a single rate is that of every output, several are those of 0, 1, ...
    outputs: Option<Vec<Vec<u32>>>,
}

impl Rates {
    /// None where the two lists do not fit each other.
    fn read(node: &Node<'_>) -> Option<Self> {
        let hz = cells(value(node, "clock-frequency").unwrap_or_default())?;
        let width = cell(node, "#clock-cells").unwrap_or(0) as usize;
        let outputs = match value(node, "clock-indices") {
            Some(list) if width > 0 && !hz.is_empty() => {
                let list = cells(list)?;
                if !list.len().is_multiple_of(width) || list.len() / width != hz.len() {
                    return None;
                }
                Some(list.chunks(width).map(<[u32]>::to_vec).collect())
            }
            _ => None,
        };
        Some(Self { hz, outputs })
    }

    /// The rate of one output; 0 is none.
    fn of(&self, output: &[u32]) -> Option<u32> {
        let place = match (&self.outputs, output) {
            (Some(outputs), _) => outputs.iter().position(|known| known == output)?,
            (None, _) if self.hz.len() == 1 => 0,
            (None, [number]) => *number as usize,
            (None, _) => return None,
        };
        self.hz.get(place).copied().filter(|hz| *hz > 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::dt::Property;

    use super::*;

    fn provider(width: u32, indices: Option<&[u32]>, hz: &[u32]) -> Option<Rates> {
        let bytes = |list: &[u32]| list.iter().flat_map(|cell| cell.to_be_bytes()).collect::<Vec<u8>>();
        let mut node = Node::new("n");
        let mut add = |name, list: &[u32]| {
            node.add_property(Property::new(name, bytes(list)));
        };
        add("#clock-cells", &[width]);
        add("clock-frequency", hz);
        if let Some(indices) = indices {
            add("clock-indices", indices);
        }
        Rates::read(&node)
    }

    #[test]
    fn one_rate_is_that_of_every_output() {
        let rates = provider(1, None, &[50]).unwrap();
        assert_eq!((rates.of(&[0]), rates.of(&[7])), (Some(50), Some(50)));
        assert_eq!(provider(0, None, &[50]).unwrap().of(&[]), Some(50));
        assert_eq!(provider(0, None, &[]).unwrap().of(&[]), None);
        // Without argument cells there is nothing that indices could number.
        assert_eq!(provider(0, Some(&[3]), &[50]).unwrap().of(&[]), Some(50));
    }

    #[test]
    fn several_rates_count_from_0() {
        let rates = provider(1, None, &[10, 0, 30]).unwrap();
        assert_eq!([0, 1, 2, 3].map(|output| rates.of(&[output])), [Some(10), None, Some(30), None]);
    }

    #[test]
    fn indices_say_whose_the_rates_are() {
        let rates = provider(1, Some(&[19, 51]), &[48, 100]).unwrap();
        assert_eq!([0, 19, 51].map(|output| rates.of(&[output])), [None, Some(48), Some(100)]);
        let rates = provider(2, Some(&[1, 2, 1, 3]), &[48, 100]).unwrap();
        assert_eq!(rates.of(&[1, 3]), Some(100));
        assert_eq!(rates.of(&[3]), None);
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        assert!(provider(1, Some(&[19, 20]), &[48]).is_none());
        assert!(provider(2, Some(&[19, 20, 21]), &[48]).is_none());
        assert!(provider(1, Some(&[19, 20]), &[]).unwrap().of(&[19]).is_none());
    }
}
