//! What a request says about itself: the user, the file's name, and the caption.

use crate::credentials::{AuthToken, Credentials};
use crate::error::Error;
use crate::file_name::first_name;
use crate::http::RequestHead;
use crate::multipart::envelope::passable_content_type;
use crate::multipart::form::{Fields, FilePart};
use crate::telegram::MAX_CAPTION_CHARS;

use super::delivery::FileInfo;

/// The token in `Authorization: Bearer …`, if any. Other schemes are ignored.
///
/// # Errors
/// [`Error::TokenMalformed`].
pub fn header_token(head: &RequestHead) -> Result<Option<AuthToken>, Error> {
    let Some((scheme, token)) = head
        .authorization
        .as_deref()
        .and_then(|value| value.trim().split_once(' '))
    else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    AuthToken::parse(token)
        .map(Some)
        .ok_or(Error::TokenMalformed)
}

/// The user and the token that the headers name. The form may add to them, but must not contradict them.
pub(super) struct Claims<'a> {
    token: Option<AuthToken>,
    user_id: Option<&'a str>,
}

impl<'a> Claims<'a> {
    /// What the headers say.
    ///
    /// # Errors
    /// [`Error::TokenMalformed`].
    pub(super) fn of(head: &'a RequestHead) -> Result<Self, Error> {
        Ok(Self {
            token: header_token(head)?,
            user_id: head.user_id.as_deref(),
        })
    }

    /// The token, if it is known yet: from the header, the form, or both if they are equal.
    ///
    /// # Errors
    /// [`Error::TokenMalformed`] and [`Error::TokensDiffer`].
    pub(super) fn token(&self, fields: &Fields) -> Result<Option<AuthToken>, Error> {
        let given = fields
            .auth_token
            .as_deref()
            .map(str::trim)
            .filter(|token| !token.is_empty());
        let form_token = given
            .map(|token| AuthToken::parse(token).ok_or(Error::TokenMalformed))
            .transpose()?;
        match (&self.token, form_token) {
            (Some(header), Some(form)) if *header != form => Err(Error::TokensDiffer),
            (header, form) => Ok(form.or_else(|| header.clone())),
        }
    }

    /// Checks that the user whom the request names, if any, is the user of the token.
    ///
    /// # Errors
    /// [`Error::WrongUser`].
    pub(super) fn check_user(
        &self,
        credentials: &Credentials,
        fields: &Fields,
    ) -> Result<(), Error> {
        let claimed = [self.user_id, fields.user_id.as_deref()];
        let differs =
            |user_id: &str| !user_id.trim().is_empty() && user_id.trim() != credentials.user_id;
        if claimed.into_iter().flatten().any(differs) {
            Err(Error::WrongUser)
        } else {
            Ok(())
        }
    }
}

/// The file's name and type. The field `fileName` takes precedence over the part's filename.
pub(super) fn file_info(part: &FilePart, fields: &Fields) -> FileInfo {
    let names = [fields.file_name.as_deref(), part.name.as_deref()];
    FileInfo {
        name: first_name(names.into_iter().flatten()),
        content_type: passable_content_type(part.content_type.as_deref()).to_owned(),
    }
}

/// The caption: the given one, or `TeleStore`'s, cut to the length that Telegram accepts.
///
/// # Errors
/// [`Error::CaptionTooLong`].
pub(super) fn caption(fields: &Fields, file: &FileInfo) -> Result<String, Error> {
    match &fields.caption {
        Some(caption) if caption.chars().count() > MAX_CAPTION_CHARS => Err(Error::CaptionTooLong),
        Some(caption) => Ok(caption.clone()),
        None => Ok(format!("Uploaded: {}", file.name)
            .chars()
            .take(MAX_CAPTION_CHARS)
            .collect()),
    }
}
