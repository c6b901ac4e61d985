//! Columns of lists whose last column takes the rest.

/// Widths for what stands in the columns, of which the first holds names: what the others do not need goes to it.
/// `widest`: the widest text of each, its head included. A column of no width stays away.
pub(super) fn fitted<const N: usize>(widths: [u16; N], widest: [u16; N]) -> [u16; N] {
    let mut fitted = widths;
    let mut spare = 0_u16;
    for (width, widest) in fitted.iter_mut().zip(widest).skip(1) {
        spare = spare.saturating_add(width.saturating_sub(widest));
        *width = widest.min(*width);
    }
    if let (Some(first), Some(widest)) = (fitted.first_mut(), widest.first()) {
        *first = first.saturating_add(spare).min(*widest);
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_what_other_columns_do_not_need() {
        assert_eq!(fitted([12, 10, 15], [30, 4, 9]), [24, 4, 9]);
        assert_eq!(fitted([12, 10, 15], [14, 4, 9]), [14, 4, 9], "and no more than they need");
        assert_eq!(fitted([12, 10, 15], [6, 20, 20]), [6, 10, 15]);
        assert_eq!(fitted([12, 0, 15], [30, 20, 20]), [12, 0, 15], "what stays away stays away");
    }
}
