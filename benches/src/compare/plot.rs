//! The picture of growth, as SVG.

use std::path::Path;

use plotters::prelude::*;

use super::growth::{Axis, Point};
use crate::Error;

/// Of one axis's picture, in pixels.
const SIZE: (u32, u32) = (420, 320);

/// One line of a picture: its name, its colour, and what of a point it shows.
type Line = (&'static str, RGBColor, fn(&Point) -> Option<f64>);

/// Draws processor time against what grows, one picture an axis, side by side.
///
/// # Errors
/// If the file cannot be written.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of at most some millions"
)]
pub fn growth(points: &[Point], file: &Path) -> Result<(), Error> {
    let axes: Vec<Axis> = Axis::ALL
        .into_iter()
        .filter(|axis| points.iter().any(|point| point.axis == *axis))
        .collect();
    let width = SIZE.0 * u32::try_from(axes.len())?;
    let area = SVGBackend::new(file, (width, SIZE.1)).into_drawing_area();
    area.fill(&WHITE)?;
    let top = points
        .iter()
        .map(Point::cost)
        .map(|cost| cost.cpu.max(cost.postgres))
        .fold(0.0, f64::max);
    for (axis, area) in axes.iter().zip(area.split_evenly((1, axes.len()))) {
        let along = || points.iter().filter(|point| point.axis == *axis);
        let last = along().map(|point| point.value).max().unwrap_or(1) as f64;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d((0.9..last * 1.1).log_scale(), 0.0..top * 1.4)?;
        chart
            .configure_mesh()
            .x_desc(axis.name())
            .y_desc("CPU, µs per request")
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .draw()?;
        let lines: [Line; 3] = [
            ("Usher", RGBColor(0x1f, 0x5f, 0xa8), |point| {
                Some(point.cost().cpu)
            }),
            ("PostgreSQL", RGBColor(0xb0, 0x5a, 0x10), |point| {
                Some(point.cost().postgres)
            }),
            ("native, best", RGBColor(0x5a, 0x8f, 0x3c), |point| {
                point.native().map(|native| native.cpu)
            }),
        ];
        for (name, colour, cost) in lines {
            let line: Vec<_> = along()
                .filter_map(|point| Some((point.value as f64, cost(point)?)))
                .collect();
            if line.is_empty() {
                continue;
            }
            chart
                .draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)).point_size(3))?
                .label(name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .border_style(BLACK.mix(0.2))
            .background_style(WHITE)
            .draw()?;
    }
    area.present()?;
    Ok(())
}
