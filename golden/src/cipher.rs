//! LWE and GLWE ciphertexts as containers of words mod 2^64.

/// An LWE ciphertext `[a_0 .. a_(n-1), b]`, `b = <a, s> + message + noise mod 2^64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LweCiphertext {
    words: Vec<u64>,
}

impl LweCiphertext {
    /// Takes mask words followed by the body.
    pub fn from_words(words: Vec<u64>) -> Self {
        Self { words }
    }

    /// A noiseless encryption of `encoded` under every key of the dimension: mask 0.
    pub fn trivial(dimension: usize, encoded: u64) -> Self {
        let mut words = vec![0; dimension + 1];
        words[dimension] = encoded;
        Self { words }
    }

    /// All words, mask then body.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// All words, mask then body.
    pub fn into_words(self) -> Vec<u64> {
        self.words
    }

    /// The mask.
    pub fn mask(&self) -> &[u64] {
        self.words.split_last().map_or(&[], |(_, mask)| mask)
    }

    /// The body; 0 for a container without words.
    pub fn body(&self) -> u64 {
        self.words.last().copied().unwrap_or(0)
    }
}

/// A GLWE ciphertext `[A_0 .. A_(k-1), B]`: k mask polynomials and a body polynomial, ascending coefficients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlweCiphertext {
    words: Vec<u64>,
    degree: usize,
}

impl GlweCiphertext {
    /// Takes (k + 1) * `degree` words.
    pub fn from_words(words: Vec<u64>, degree: usize) -> Self {
        Self { words, degree }
    }

    /// A noiseless encryption of `encoded`: masks 0.
    pub fn trivial(glwe_dimension: usize, encoded: &[u64]) -> Self {
        let mut words = vec![0; glwe_dimension * encoded.len()];
        words.extend_from_slice(encoded);
        Self { words, degree: encoded.len() }
    }

    /// All words.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// All words.
    pub fn into_words(self) -> Vec<u64> {
        self.words
    }

    /// The ring degree N.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// The polynomials, masks first.
    pub fn polynomials(&self) -> impl Iterator<Item = &[u64]> {
        self.words.chunks_exact(self.degree)
    }

    /// The body polynomial.
    pub fn body(&self) -> &[u64] {
        &self.words[self.words.len() - self.degree..]
    }
}
