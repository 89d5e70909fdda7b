//! Samples as curves in an SVG, one below the other.

use std::fmt::Write;

use super::{QUANTITIES, Quantity, Sample};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 140.0;
const MARGIN: f64 = 40.0;

pub(super) fn svg(samples: &[Sample]) -> String {
    let (width, height) = (WIDTH + 2.0 * MARGIN, 4.0 * (HEIGHT + MARGIN) + MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (index, Quantity { name, of, .. }) in QUANTITIES.into_iter().enumerate() {
        let top = MARGIN + index as f64 * (HEIGHT + MARGIN);
        svg += &curve(name, samples, of, top);
    }
    svg + "</svg>\n"
}

fn curve(name: &str, samples: &[Sample], of: fn(&Sample) -> f64, top: f64) -> String {
    let most = samples.iter().map(of).fold(1.0, f64::max);
    let first = samples.first().map_or(0.0, |sample| sample.second);
    let last = samples.last().map_or(1.0, |sample| sample.second);
    let mut points = String::new();
    for sample in samples {
        let x = MARGIN + WIDTH * (sample.second - first) / (last - first).max(1.0);
        let y = top + HEIGHT * (1.0 - of(sample) / most);
        // Writing to a string cannot fail.
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    let bottom = top + HEIGHT;
    format!(
        "<text x=\"{MARGIN}\" y=\"{}\">{name}: at most {most:.0}, second {first:.0} to {last:.0}</text>\n\
         <line x1=\"{MARGIN}\" y1=\"{bottom}\" x2=\"{}\" y2=\"{bottom}\" stroke=\"#999\"/>\n\
         <polyline points=\"{points}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"1.5\"/>\n",
        top - 6.0,
        MARGIN + WIDTH,
    )
}
