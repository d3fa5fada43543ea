//! Tables of measurements: exact decimal columns, and their encryption.

use crate::Error;
use crate::client::ClientKey;
use crate::seeded::SeededCiphertexts;
use std::io::Read;
use std::ops::Range;

/// A column of exact decimal numbers: `value = scaled / 10^decimals`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Digits after the decimal point.
    pub decimals: u32,
    /// The values times `10^decimals`.
    pub scaled: Vec<u64>,
}

/// A non-negative decimal number as written: `digits / 10^decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    digits: u64,
    decimals: u32,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits = format!("{whole}{fraction}");
        if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Self { digits: digits.parse().ok()?, decimals: u32::try_from(fraction.len()).ok()? })
    }

    /// The number times `10^decimals`, if that is an integer.
    fn scaled(self, decimals: u32) -> Option<u64> {
        if self.decimals <= decimals {
            return self.digits.checked_mul(10u64.checked_pow(decimals - self.decimals)?);
        }
        let divisor = 10u64.checked_pow(self.decimals - decimals)?;
        self.digits.is_multiple_of(divisor).then_some(self.digits / divisor)
    }
}

impl Column {
    fn from_text<'a>(name: &str, cells: impl Iterator<Item = &'a str>) -> Result<Self, Error> {
        let rule = "a cell is a non-negative decimal number such as 17.99";
        let parsed: Vec<Decimal> = cells
            .enumerate()
            .map(|(row, c)| {
                Decimal::parse(c).ok_or_else(|| Error::value(format!("column {name:?}, row {}", row + 1), c, rule))
            })
            .collect::<Result<_, _>>()?;
        let decimals = parsed.iter().map(|d| d.decimals).max().unwrap_or(0);
        let scaled = parsed
            .iter()
            .map(|d| {
                d.scaled(decimals)
                    .ok_or_else(|| Error::value(format!("column {name:?}"), d.digits, "the value is too large"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { name: name.into(), decimals, scaled })
    }

    /// Base-`base` digits that hold every value of the column.
    fn digit_count(&self, base: u64) -> usize {
        let largest = self.scaled.iter().copied().max().unwrap_or(0);
        1 + std::iter::successors(Some(largest / base), |rest| Some(rest / base)).take_while(|rest| *rest > 0).count()
    }
}

/// A table in the clear, as the clinic has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
}

/// The ten features of the Wisconsin set; each comes as mean, standard error and worst value.
const WISCONSIN_FEATURES: [&str; 10] = [
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
];

impl Table {
    /// Reads rows of decimal numbers, one column a name.
    ///
    /// # Errors
    /// [`Error::Value`] for a row of another length or a cell that is no non-negative decimal number.
    pub fn from_csv(reader: impl Read, names: &[String]) -> Result<Self, Error> {
        let mut rows = Vec::new();
        let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader);
        for (number, record) in csv.records().enumerate() {
            let record = record.map_err(|e| Error::value("table", format!("row {}", number + 1), e.to_string()))?;
            if record.len() != names.len() {
                let rule = format!("{} cells where the table has {} columns", record.len(), names.len());
                return Err(Error::value("table", format!("row {}", number + 1), rule));
            }
            rows.push(record);
        }
        let columns = names
            .iter()
            .enumerate()
            .map(|(c, name)| Column::from_text(name, rows.iter().map(|row| &row[c])))
            .collect::<Result<_, _>>()?;
        Ok(Self { columns })
    }

    /// The Wisconsin breast-cancer data (569 patients, 30 measurements, `malignant` as 0 or 1), at most `rows` of it.
    ///
    /// Columns: `mean radius` .. `mean fractal dimension`, `radius error` .., `worst radius` .., `malignant`.
    ///
    /// # Errors
    /// [`Error::Value`] if `rows` is 0 or more than there are.
    pub fn wisconsin(rows: usize) -> Result<Self, Error> {
        let text = include_str!("../data/wisconsin-breast-cancer/breast_cancer.csv");
        let (_, body) = text.split_once('\n').unwrap_or(("", ""));
        let mut names: Vec<String> = Vec::new();
        for kind in 0..3 {
            names.extend(WISCONSIN_FEATURES.iter().map(|feature| match kind {
                0 => format!("mean {feature}"),
                1 => format!("{feature} error"),
                _ => format!("worst {feature}"),
            }));
        }
        names.push("malignant".into());
        let mut table = Self::from_csv(body.as_bytes(), &names)?;
        if rows == 0 || rows > table.rows() {
            return Err(Error::value("rows", rows, format!("the data have 1 to {} rows", table.rows())));
        }
        for column in &mut table.columns {
            column.scaled.truncate(rows);
        }
        // The file says 0 for malignant and 1 for benign.
        if let Some(diagnosis) = table.columns.last_mut() {
            diagnosis.scaled.iter_mut().for_each(|class| *class = 1 - *class);
        }
        Ok(table)
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |c| c.scaled.len())
    }

    /// Encrypts every cell, digit by digit, with seeded masks.
    ///
    /// # Errors
    /// [`Error::Randomness`] if the operating system gives none.
    pub fn encrypt(&self, key: &ClientKey) -> Result<EncryptedTable, Error> {
        let base = key.set().plaintext_modulus();
        let mut digits = Vec::new();
        let mut columns = Vec::new();
        for column in &self.columns {
            let count = column.digit_count(base);
            columns.push(EncryptedColumn {
                name: column.name.clone(),
                decimals: column.decimals,
                digits: count,
                start: digits.len(),
            });
            for &value in &column.scaled {
                digits
                    .extend(std::iter::successors(Some(value), |rest| Some(rest / base)).take(count).map(|v| v % base));
            }
        }
        Ok(EncryptedTable { rows: self.rows(), base, columns, cells: key.encrypt_seeded(&digits)? })
    }
}

/// What a server knows of a column: its name, its scale, and how many digits each value has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedColumn {
    /// Its name.
    pub name: String,
    /// Digits after the decimal point.
    pub decimals: u32,
    /// Ciphertexts a value: its digits, least significant first.
    pub digits: usize,
    /// Index of the column's first ciphertext.
    start: usize,
}

/// An encrypted table, as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedTable {
    rows: usize,
    base: u64,
    columns: Vec<EncryptedColumn>,
    cells: SeededCiphertexts,
}

impl EncryptedTable {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Base of the digits.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Ciphertexts in all.
    pub fn ciphertexts(&self) -> usize {
        self.cells.len()
    }

    /// Bytes that travel from client to server.
    pub fn transfer_bytes(&self) -> usize {
        self.cells.transfer_bytes()
    }

    /// Finds a column by name.
    ///
    /// # Errors
    /// [`Error::Value`] that lists the names there are.
    pub fn column(&self, name: &str) -> Result<&EncryptedColumn, Error> {
        self.columns.iter().find(|c| c.name == name).ok_or_else(|| {
            let names: Vec<_> = self.columns.iter().map(|c| c.name.as_str()).collect();
            Error::value("column", name, format!("columns are {}", names.join(", ")))
        })
    }

    /// The ciphertexts of one digit of a column for a range of rows, `[rows, k*N + 1]` words.
    pub fn digit(&self, column: &EncryptedColumn, digit: usize, rows: Range<usize>) -> Vec<u64> {
        rows.flat_map(|row| {
            let index = column.start + row * column.digits + digit;
            self.cells.expand(index..index + 1)
        })
        .collect()
    }
}

impl EncryptedColumn {
    /// A threshold, written as a decimal number, in the column's units.
    ///
    /// # Errors
    /// [`Error::Value`] if it is no decimal number or finer than the column.
    pub fn threshold(&self, text: &str) -> Result<u64, Error> {
        let rule =
            format!("a threshold for {:?} is a decimal number with at most {} decimals", self.name, self.decimals);
        Decimal::parse(text).and_then(|d| d.scaled(self.decimals)).ok_or_else(|| Error::value("threshold", text, rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_golden::params::TOY_INSECURE;

    #[test]
    fn wisconsin_data_is_complete_and_exact() {
        let table = Table::wisconsin(569).unwrap();
        assert_eq!((table.rows(), table.columns().len()), (569, 31));
        let radius = &table.columns()[0];
        assert_eq!((radius.name.as_str(), radius.decimals, radius.scaled[0]), ("mean radius", 3, 17_990));
        let malignant = table.columns().last().unwrap();
        assert_eq!(malignant.scaled.iter().sum::<u64>(), 212);
        // The documented extremes of the source: 6.981 and 28.11.
        assert_eq!(radius.scaled.iter().min(), Some(&6_981));
        assert_eq!(radius.scaled.iter().max(), Some(&28_110));
        assert!(Table::wisconsin(0).is_err() && Table::wisconsin(570).is_err());
    }

    #[test]
    fn decimals_are_exact_and_others_are_refused() {
        let parse = |t: &str| Decimal::parse(t).map(|d| (d.digits, d.decimals));
        assert_eq!(parse("17.99"), Some((1799, 2)));
        assert_eq!(parse(" 1001 "), Some((1001, 0)));
        assert_eq!(parse("0.006399"), Some((6399, 6)));
        for bad in ["", ".", "-1", "1e5", "1.2.3", "nan", ".5", "99999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(Decimal::parse("15.0").unwrap().scaled(0), Some(15));
        assert_eq!(Decimal::parse("15.5").unwrap().scaled(0), None);
    }

    #[test]
    fn encrypted_digits_are_where_the_schema_says() {
        let names = ["a".to_string(), "b".to_string()];
        let table = Table::from_csv("1.5,300\n20.25,7\n".as_bytes(), &names).unwrap();
        let key = ClientKey::generate(TOY_INSECURE).unwrap();
        let encrypted = table.encrypt(&key).unwrap();
        let (a, b) = (encrypted.column("a").unwrap(), encrypted.column("b").unwrap());
        assert_eq!((a.decimals, a.digits, b.digits), (2, 3, 3)); // 2025 < 16^3, 300 < 16^3
        let value = |column: &EncryptedColumn, row: usize| {
            (0..column.digits)
                .rev()
                .fold(0, |v, d| 16 * v + key.decrypt(&encrypted.digit(column, d, row..row + 1)).unwrap()[0])
        };
        assert_eq!([value(a, 0), value(a, 1), value(b, 0), value(b, 1)], [150, 2025, 300, 7]);
        assert_eq!(a.threshold("1.5").unwrap(), 150);
        assert!(a.threshold("1.555").is_err());
        assert!(encrypted.column("c").is_err());
        assert!(Table::from_csv("1,2\n3\n".as_bytes(), &names).is_err());
        assert!(Table::from_csv("1,x\n".as_bytes(), &names).unwrap_err().to_string().contains("row 1"));
    }
}
