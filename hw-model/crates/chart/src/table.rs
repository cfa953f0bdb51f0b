// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The table of figures.

use anyhow::{bail, ensure, Context, Result};

/// A cost.
#[derive(Clone, PartialEq, Debug)]
struct Figure {
    nic: String,
    workload: String,
    per_packet: f64,
}

/// All costs, in the order of the file.
#[derive(Debug)]
pub(crate) struct Table {
    figures: Vec<Figure>,
}

/// The costs of a workload, in the order of [`Relative::nics`]; `None` if it was not measured.
#[derive(PartialEq, Debug)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) costs: Vec<Option<f64>>,
}

/// Costs as parts of those with one NIC.
#[derive(PartialEq, Debug)]
pub(crate) struct Relative {
    pub(crate) baseline: String,
    pub(crate) nics: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// Adds what is not there yet.
fn add(list: &mut Vec<String>, name: &str) {
    if !list.iter().any(|known| known == name) {
        list.push(name.to_owned());
    }
}

impl Table {
    /// Reads the file. No cell of it has a comma.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let column = |name: &str| {
            let found = names.iter().position(|column| *column == name);
            found.with_context(|| format!("no column is named {name}"))
        };
        let (nic, workload, cost) = (column("nic")?, column("workload")?, column("per_packet")?);
        let mut figures = Vec::new();
        for (number, line) in lines.enumerate() {
            let cells: Vec<&str> = line.split(',').collect();
            ensure!(
                cells.len() == names.len(),
                "line {}: {} cells, not {}",
                number + 2,
                cells.len(),
                names.len()
            );
            let per_packet: f64 = cells[cost]
                .parse()
                .with_context(|| format!("line {}: \"{}\"", number + 2, cells[cost]))?;
            ensure!(per_packet > 0.0, "line {}: a cost of 0", number + 2);
            figures.push(Figure {
                nic: cells[nic].to_owned(),
                workload: cells[workload].to_owned(),
                per_packet,
            });
        }
        Ok(Self { figures })
    }

    fn cost(&self, nic: &str, workload: &str) -> Option<f64> {
        let is_it = |figure: &&Figure| figure.nic == nic && figure.workload == workload;
        self.figures.iter().find(is_it).map(|f| f.per_packet)
    }

    /// Divides by the costs with `baseline`; leaves workloads out that it was not measured with.
    pub(crate) fn relative_to(&self, baseline: &str) -> Result<Relative> {
        let (mut nics, mut workloads) = (Vec::new(), Vec::new());
        for figure in &self.figures {
            add(&mut nics, &figure.nic);
            add(&mut workloads, &figure.workload);
        }
        let row = |workload: String| {
            let whole = self.cost(baseline, &workload)?;
            let costs = nics
                .iter()
                .map(|nic| Some(self.cost(nic, &workload)? / whole));
            Some(Row {
                costs: costs.collect(),
                workload,
            })
        };
        let rows: Vec<Row> = workloads.into_iter().filter_map(row).collect();
        if rows.is_empty() {
            bail!("nothing was measured with {baseline}");
        }
        Ok(Relative {
            baseline: baseline.to_owned(),
            nics,
            rows,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "nic,workload,unit,per_packet,losses\n\
                        reflow,bulk1,packet,500,\n\
                        reflow,rr1,round,22000,\n\
                        igb,bulk1,packet,2000,stuck:1 PruneCalled:2\n\
                        igb,udp-drop,packet,1600,\n";

    #[test]
    fn costs_are_parts_of_those_with_the_baseline() {
        let found = Table::parse(TEXT).unwrap().relative_to("igb").unwrap();
        assert_eq!(found.nics, ["reflow", "igb"]);
        let rows: Vec<_> = found
            .rows
            .iter()
            .map(|row| (row.workload.as_str(), &row.costs[..]))
            .collect();
        assert_eq!(
            rows,
            [
                ("bulk1", &[Some(0.25), Some(1.0)][..]),
                ("udp-drop", &[None, Some(1.0)]),
            ]
        );
    }

    #[test]
    fn errors_say_where_they_are() {
        let error = |text: &str| format!("{:#}", Table::parse(text).unwrap_err());
        assert_eq!(error("nic,workload\n"), "no column is named per_packet");
        assert_eq!(
            error("nic,workload,per_packet\nigb,x\n"),
            "line 2: 2 cells, not 3"
        );
        assert!(error("nic,workload,per_packet\nigb,x,1\nigb,y,-\n").starts_with("line 3: \"-\""));
        let table = Table::parse(TEXT).unwrap();
        let error = table.relative_to("e1000e").unwrap_err();
        assert_eq!(error.to_string(), "nothing was measured with e1000e");
    }
}
