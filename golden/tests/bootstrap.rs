//! The whole golden bootstrap: right answers, predicted noise, refused inputs.

use glovebox_golden::cipher::{GlweCiphertext, LweCiphertext};
use glovebox_golden::keys::{BootstrapKey, GlweSecretKey, KeyswitchKey, LweSecretKey, SecretKeys};
use glovebox_golden::lut::Lut;
use glovebox_golden::params::{self, ParameterSet, RingDegree};
use glovebox_golden::{Evaluator, GoldenError, decode, noise};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

struct Client {
    set: ParameterSet,
    rng: ChaCha20Rng,
    secret: SecretKeys,
    evaluator: Evaluator,
}

fn client(set: ParameterSet, seed: u64) -> Client {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let secret = SecretKeys::generate(&set, &mut rng).unwrap();
    let bsk = BootstrapKey::generate(&set, &secret, &mut rng).unwrap();
    let ksk = KeyswitchKey::generate(&set, &secret, &mut rng).unwrap();
    let evaluator = Evaluator::new(set.bootstrap, ksk, &bsk).unwrap();
    Client { set, rng, secret, evaluator }
}

impl Client {
    fn encrypt(&mut self, message: u64) -> LweCiphertext {
        self.secret.big.encrypt(message.wrapping_mul(self.set.delta()), self.set.glwe_noise, &mut self.rng)
    }

    fn decrypt(&self, ciphertext: &LweCiphertext) -> u64 {
        decode(&self.set, self.secret.big.phase(ciphertext).unwrap())
    }
}

#[test]
fn toy_bootstrap_evaluates_every_input() {
    for set in [params::TOY_INSECURE, params::TOY_K2_L3_INSECURE] {
        let mut c = client(set, 3);
        let lut = Lut::from_fn(&set, |x| (7 * x + 3) % 16).unwrap();
        for message in 0..16 {
            let input = c.encrypt(message);
            let output = c.evaluator.bootstrap(&input, lut.ciphertext()).unwrap();
            assert_eq!(c.decrypt(&output), (7 * message + 3) % 16, "{} {message}", set.name);
        }
    }
}

#[test]
fn toy_many_lut_evaluates_every_function() {
    let mut c = client(params::TOY_INSECURE, 4);
    let delta = c.set.delta();
    let (low, high, sum) =
        (move |x: u64| (x % 4) * delta, move |x: u64| (x / 4) * delta, move |x: u64| (x + 5) * delta);
    for functions in [vec![&low as &dyn Fn(u64) -> u64, &high], vec![&low as &dyn Fn(u64) -> u64, &high, &sum]] {
        let lut = Lut::many_encoded(&c.set, &functions).unwrap();
        for message in 0..16 / functions.len().next_power_of_two() as u64 {
            let input = c.encrypt(message);
            let outputs = c.evaluator.bootstrap_many(&input, &lut).unwrap();
            let got: Vec<u64> = outputs.iter().map(|o| c.decrypt(o)).collect();
            let expected = [message % 4, message / 4, message + 5];
            assert_eq!(got, expected[..functions.len()], "{message}");
        }
    }
}

#[test]
fn every_secure_set_bootstraps_and_its_noise_is_as_predicted() {
    // Per set: two bootstraps decrypt right, and the noise of keyswitch and extraction matches the prediction. The
    // coefficients of one output GLWE ciphertext share the key but have their own errors: 2048 samples each.
    for set in params::ALL.into_iter().filter(|s| s.secure_128) {
        let mut c = client(set, 5);
        let lut = Lut::from_fn(&set, |x| 15 - x).unwrap();
        let mut ks_squares = 0.0;
        for message in [2, 13] {
            let input = c.encrypt(message);
            let small = c.evaluator.keyswitch(&input).unwrap();
            let ks_error = c.secret.small.phase(&small).unwrap().wrapping_sub(message * set.delta()) as i64 as f64;
            ks_squares += ks_error.powi(2) / 2.0;
            let turned = c.evaluator.blind_rotation(lut.ciphertext(), &small).unwrap();
            let output = glovebox_golden::bootstrap::sample_extract(&turned, 0).unwrap();
            assert_eq!(c.decrypt(&output), 15 - message, "{}", set.name);

            // Every coefficient of the turned table is a value of the table, up to noise.
            let phase = c.secret.glwe.phase(&turned).unwrap();
            let squares: f64 = phase
                .iter()
                .map(|p| (p.wrapping_add(set.delta() / 2) % set.delta()) as f64 - set.delta() as f64 / 2.0)
                .map(|e| e * e)
                .sum();
            let measured = squares / phase.len() as f64;
            let ratio = measured / noise::bootstrap_variance(&set);
            // Errors of one output are correlated through the shared key; a factor of 1.5 bounds what 2 x 2048 show.
            assert!((0.67..1.5).contains(&ratio), "{}: bootstrap noise ratio {ratio}", set.name);
        }
        let bound = 6.0 * noise::keyswitch_added_variance(&set).sqrt();
        assert!(ks_squares.sqrt() < bound, "{}: keyswitch noise {} above {bound}", set.name, ks_squares.sqrt());
    }
}

#[test]
fn keyswitch_and_modulus_switch_noise_is_as_predicted() {
    // Statistics over many keyswitches with the default decomposition at a smaller ring: the formula, not the size.
    let mut set = params::CPU_KS_PBS_TUNIFORM_2M128;
    set.name = "statistics of the default set at N = 512";
    set.bootstrap.ring_degree = RingDegree(512);
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let secret = SecretKeys::generate(&set, &mut rng).unwrap();
    let ksk = KeyswitchKey::generate(&set, &secret, &mut rng).unwrap();
    let (mut ks, mut ms) = (0.0, 0.0);
    let runs = 400;
    for _ in 0..runs {
        let input = LweCiphertext::from_words(secret.big.encrypt(0, set.glwe_noise, &mut rng).into_words());
        let small = glovebox_golden::bootstrap::keyswitch(&set.bootstrap, &ksk, &input).unwrap();
        let phase = secret.small.phase(&small).unwrap();
        ks += (phase as i64 as f64).powi(2) / f64::from(runs);
        let switched = glovebox_golden::torus::modulus_switch(small.words(), &set.bootstrap);
        let shift = 63 - set.bootstrap.ring_degree.log2();
        let words = switched.mask.iter().chain([&switched.body]).map(|&w| (w as u64) << shift).collect();
        let after = secret.small.phase(&LweCiphertext::from_words(words)).unwrap();
        // The centred switch aims half a step low.
        let error = after.wrapping_sub(phase).wrapping_add(1 << (shift - 1)) as i64 as f64;
        ms += error.powi(2) / f64::from(runs);
    }
    let ks_ratio = ks / (noise::keyswitch_added_variance(&set) + set.glwe_noise.variance());
    let ms_ratio = ms / noise::modulus_switch_added_variance(&set.bootstrap);
    assert!((0.75..1.3).contains(&ks_ratio), "keyswitch {ks_ratio}");
    assert!((0.75..1.3).contains(&ms_ratio), "modulus switch {ms_ratio}");
}

#[test]
fn default_set_noise_prediction_is_the_documented_one() {
    let set = params::CPU_KS_PBS_TUNIFORM_2M128;
    assert!((noise::keyswitch_added_variance(&set).log2() / 2.0 - 53.0).abs() < 0.25);
    assert!((noise::bootstrap_variance(&set).log2() / 2.0 - 49.0).abs() < 0.25);
}

#[test]
fn rotations_by_zero_and_full_turns_are_exact() {
    let c = client(params::TOY_INSECURE, 7);
    let p = c.set.bootstrap;
    let lut = Lut::from_fn(&c.set, |x| x).unwrap();
    let n = p.lwe_dimension.0;
    // Mask 0 skips every step; body 0, N and 2N - 1 turn by nothing, a sign and one.
    for body in [0usize, 256, 511] {
        let mut words = vec![0u64; n + 1];
        let raw = (body as u64) << 55;
        // The centred switch takes half a step off.
        words[n] = raw.wrapping_add(1 << 54);
        let turned = c.evaluator.blind_rotation(lut.ciphertext(), &LweCiphertext::from_words(words)).unwrap();
        let expected: Vec<u64> = lut
            .ciphertext()
            .polynomials()
            .flat_map(|poly| glovebox_golden::torus::multiply_by_monomial(poly, 512 - body))
            .collect();
        assert_eq!(turned.words(), expected);
    }
}

#[test]
fn small_modulus_keys_are_read_in_both_forms() {
    let mut set = params::TOY_INSECURE;
    set.bootstrap.ks_modulus_log2 = 32;
    set.lwe_noise = glovebox_golden::sampling::NoiseDistribution::TUniform { bound_log2: 8 };
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    let secret = SecretKeys::generate(&set, &mut rng).unwrap();
    let ksk = KeyswitchKey::generate(&set, &secret, &mut rng).unwrap();
    let low: Vec<u64> = ksk.words().iter().map(|w| w >> 32).collect();
    assert_eq!(KeyswitchKey::from_words(&set.bootstrap, low).unwrap(), ksk);
    assert_eq!(KeyswitchKey::from_words(&set.bootstrap, ksk.words().to_vec()).unwrap(), ksk);
    let mut mixed = ksk.words().to_vec();
    mixed[3] |= 1;
    assert!(matches!(KeyswitchKey::from_words(&set.bootstrap, mixed), Err(GoldenError::Parameter { .. })));
}

#[test]
fn wrong_sizes_and_keys_are_refused() {
    let mut c = client(params::TOY_INSECURE, 9);
    let lut = Lut::from_fn(&c.set, |x| x).unwrap();
    let input = c.encrypt(1);
    let short = LweCiphertext::from_words(input.words()[1..].to_vec());
    assert!(matches!(c.evaluator.bootstrap(&short, lut.ciphertext()), Err(GoldenError::Length { .. })));
    let other = GlweCiphertext::trivial(1, &[0; 128]);
    assert!(matches!(c.evaluator.bootstrap(&input, &other), Err(GoldenError::Length { .. })));
    let big = params::TOY_K2_L3_INSECURE.bootstrap;
    assert!(matches!(BootstrapKey::from_words(&big, vec![0; 7]), Err(GoldenError::Length { .. })));
    assert!(LweSecretKey::from_bits(vec![0, 2]).is_err());
    assert!(GlweSecretKey::from_bits(vec![0, 1, 1], RingDegree(2)).is_err());
    assert!(Lut::many_encoded(&c.set, &[]).is_err());
}
