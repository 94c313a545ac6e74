//! The plot: each thing beside the same at the smallest size, over the number of objects, both axes logarithmic.

use std::fmt::Write as _;

use crate::report::{Column, readable};

/// The size of the picture, and what is around the axes, in pixels.
const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 50.0;
/// From an eighth to eight times.
const OCTAVES: f64 = 3.0;
const COLOURS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#98df8a", "#9467bd", "#8c564b", "#ff7f0e", "#17becf"];

/// A picture of all columns.
pub(crate) fn svg(columns: &[Column]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let across = Across::of(columns);
    axes(&mut svg, columns, &across);
    let points = columns.first().map(|column| column.measured.as_slice()).unwrap_or_default();
    let shown = points.iter().enumerate().filter_map(|(row, measured)| Some((row, measured.point.plotted()?)));
    for ((row, label), colour) in shown.zip(COLOURS) {
        let place = |column: &Column| (across.at(column.size), height(column.measured[row].ratio()));
        curve(&mut svg, &columns.iter().map(place).collect::<Vec<_>>(), colour);
        let y = TOP + 16.0 * (1.0 + COLOURS.iter().position(|c| *c == colour).unwrap_or(0) as f64);
        let x = WIDTH - RIGHT + 20.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{y}\">{label}</text>",
            y - 6.0,
            x + 18.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The axis of the sizes.
struct Across {
    least: f64,
    most: f64,
}

impl Across {
    fn of(columns: &[Column]) -> Self {
        let log = |column: Option<&Column>| column.map_or(0.0, |column| (column.size as f64).log10());
        let (least, most) = (log(columns.first()), log(columns.last()));
        Self { least, most: most.max(least + 1.0) }
    }

    fn at(&self, size: u64) -> f64 {
        LEFT + ((size as f64).log10() - self.least) / (self.most - self.least) * (WIDTH - LEFT - RIGHT)
    }
}

/// Where a ratio is: 1 in the middle, what is beyond the axis at its end.
fn height(ratio: f64) -> f64 {
    let octaves = ratio.log2().clamp(-OCTAVES, OCTAVES);
    TOP + (OCTAVES - octaves) / (2.0 * OCTAVES) * (HEIGHT - TOP - BOTTOM)
}

fn axes(svg: &mut String, columns: &[Column], across: &Across) {
    let right = WIDTH - RIGHT;
    for (ratio, text) in
        [(0.125, "1/8"), (0.25, "1/4"), (0.5, "1/2"), (1.0, "1 x"), (2.0, "2 x"), (4.0, "4 x"), (8.0, "8 x")]
    {
        let (y, width) = (height(ratio), if text == "1 x" { 1.5 } else { 0.5 });
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#888\" stroke-width=\"{width}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for column in columns {
        let (x, y) = (across.at(column.size), HEIGHT - BOTTOM + 18.0);
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", readable(column.size));
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">objects stored</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 12.0
    );
}

fn curve(svg: &mut String, places: &[(f64, f64)], colour: &str) {
    let points: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        points.join(" ")
    );
    for (x, y) in places {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
}
