//! The user that a fresh folder starts with.
//!
//! Its password stands in every manual. So what is kept of that may as well stand here: no salt hides it, and a first start need
//! not hash it, which is most of such a start's time and memory. Any other password is hashed, and this one when it is changed.

use super::catalog::User;
use super::passwords::PasswordError;

const KNOWN_PASSWORD: &str = "guest";
/// What [`User::new`] once made of it.
const KNOWN_USER: &str = concat!(
    r#"{"hash":"$argon2id$v=19$m=19456,t=2,p=1$AmrtiR7oqTTYWFo/oLtPUg$g7ebfJBCvkwD04kZWTSj/emEEziCOHsJFXjiHuhoDbU","#,
    r#""keys":["SCRAM-SHA-256$4096:sq+RX2yU9viT5/ERR6LxkA==$fBzGwdG2bl+GCwF2GCDxYE89CedWdHsWT5oegV/o7Eg=:"#,
    r#"8PeAU40E+AtaKqWan9MoPjO4xHPOE70hqOX7YxtkMeI=","SCRAM-SHA-512$4096:JK8jFAJAPlaMps/aX0mAQg==$"#,
    r#"o5k2YjXfUIYfBCjgUXYdF1Q8Saa5BYrU8moU4femUv+7E4xV9f/JwKoTugIsyRfPra24n78FvNX8KL9xmIX+XA==:"#,
    r#"zDN7H2/G8Lg5AmdbOEmv19MmVDh/fkSsnVcDQeenO8vlt60tzCUq87+tTnx9Z8Q1kuZZIafoRtuu1itQoC22Cw=="]}"#,
);

/// The first user, with that password.
pub(crate) fn first_user(password: &str) -> Result<User, PasswordError> {
    if password == KNOWN_PASSWORD
        && let Ok(user) = serde_json::from_str(KNOWN_USER)
    {
        return Ok(user);
    }
    User::new(Some(password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::passwords::Passwords;

    #[test]
    fn what_is_known_of_the_known_password_is_what_is_made_of_it() {
        let passwords = Passwords::new().unwrap();
        let known: User = serde_json::from_str(KNOWN_USER).unwrap();
        assert!(passwords.is_right(KNOWN_PASSWORD, known.hash.as_deref().unwrap()));
        assert!(!known.keys.is_empty());
        for keys in &known.keys {
            assert!(keys.is_of(KNOWN_PASSWORD), "{keys:?}");
            assert!(!keys.is_of("another"), "{keys:?}");
        }
        let made = User::new(Some(KNOWN_PASSWORD)).unwrap();
        assert_eq!(made.keys.len(), known.keys.len());
        let other = first_user("another").unwrap();
        assert!(passwords.is_right("another", other.hash.as_deref().unwrap()));
    }
}
