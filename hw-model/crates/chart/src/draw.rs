// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The picture: a group of horizontal bars for each workload.

use crate::table::Relative;
use anyhow::{anyhow, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const WIDTH: u32 = 900;
/// Pixels of a bar, of the gap behind a group, and of all that is above and below the bars.
const BAR: usize = 9;
const GAP: usize = 8;
const FRAME: usize = 90;
/// Pixels of the column with the names of the workloads.
const NAMES: u32 = 150;
/// Longer bars are cut off; their figures tell the length.
const LONGEST: f64 = 2.0;

/// Colours that people with any colour vision can tell apart, and that a grey print keeps apart.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 90, 160),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(120, 120, 120),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
];

/// Draws the picture and returns its text.
pub(crate) fn svg(table: &Relative) -> Result<String> {
    let group = table.nics.len() * BAR + GAP;
    let height = table.rows.len() * group + FRAME;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height as u32)).into_drawing_area();
        paint(&area, table, group).map_err(|why| anyhow!("{why}"))?;
        area.present().map_err(|why| anyhow!("{why}"))?;
    }
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Outcome = Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>>;

fn paint(area: &Area<'_>, table: &Relative, group: usize) -> Outcome {
    area.fill(&WHITE)?;
    let bottom = table.rows.len() * group;
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("Instructions of the guest's kernel, {} = 1", table.baseline),
            ("sans-serif", 18),
        )
        .margin_right(60)
        .x_label_area_size(30)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..LONGEST, bottom as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .y_labels(0)
        .x_labels(11)
        .label_style(("sans-serif", 13))
        .draw()?;
    for (number, nic) in table.nics.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let bars = table.rows.iter().enumerate().filter_map(|(at, row)| {
            let top = (at * group + number * BAR) as f64;
            let end = row.costs[number]?.min(LONGEST);
            let corners = [(0.0, top), (end, top + BAR as f64 - 1.0)];
            Some(Rectangle::new(corners, colour.filled()))
        });
        chart
            .draw_series(bars)?
            .label(nic)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 12, y + 4)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .label_font(("sans-serif", 13))
        .draw()?;
    write(area, &chart, table, group)
}

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// Writes the names of the workloads, and the figures of the bars.
fn write(area: &Area<'_>, chart: &Chart<'_, '_>, table: &Relative, group: usize) -> Outcome {
    let aligned = |pixels: i32, to: HPos| {
        TextStyle::from(("sans-serif", pixels).into_font()).pos(Pos::new(to, VPos::Center))
    };
    let (name, figure) = (aligned(13, HPos::Right), aligned(9, HPos::Left));
    for (at, row) in table.rows.iter().enumerate() {
        let top = (at * group) as f64;
        let middle = top + (table.nics.len() * BAR) as f64 / 2.0;
        let (x, y) = chart.backend_coord(&(0.0, middle));
        area.draw(&Text::new(row.workload.as_str(), (x - 8, y), name.clone()))?;
        for (number, cost) in row.costs.iter().enumerate() {
            let Some(cost) = cost else { continue };
            let place = (
                cost.min(LONGEST),
                top + ((number * BAR) as f64) + BAR as f64 / 2.0,
            );
            let (x, y) = chart.backend_coord(&place);
            area.draw(&Text::new(format!("{cost:.2}"), (x + 4, y), figure.clone()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Row;

    #[test]
    fn each_cost_has_a_bar_and_a_figure() {
        let table = Relative {
            baseline: "igb".to_owned(),
            nics: vec!["reflow".to_owned(), "igb".to_owned()],
            rows: vec![Row {
                workload: "bulk1".to_owned(),
                costs: vec![Some(0.25), Some(1.0)],
            }],
        };
        let text = svg(&table).unwrap();
        for wanted in ["bulk1", "reflow", "igb = 1", "0.25", "1.00"] {
            assert!(text.contains(wanted), "{wanted}");
        }
        assert!(!text.contains("NaN"));
    }
}
