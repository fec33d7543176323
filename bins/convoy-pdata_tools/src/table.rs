//! A table as `thin_ls` prints it: columns to the right, each as wide as its widest cell, a space after every cell.

/// The rows under `headers`, if there are any headers.
pub(crate) fn table(headers: Option<Vec<String>>, rows: Vec<Vec<String>>) -> String {
    let lines: Vec<Vec<String>> = headers.into_iter().chain(rows).collect();
    let mut widths = Vec::new();
    for line in &lines {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths) {
            text.extend(std::iter::repeat_n(' ', width - cell.len()));
            text.push_str(cell);
            text.push(' ');
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let rows = vec![cells("1,44MiB"), cells("12,0")];
        let expected = "DEV MAPPED \n  1  44MiB \n 12      0 \n";
        assert_eq!(table(Some(cells("DEV,MAPPED")), rows.clone()), expected);
        assert_eq!(table(None, rows), " 1 44MiB \n12     0 \n");
        assert_eq!(table(None, Vec::new()), "");
    }
}
