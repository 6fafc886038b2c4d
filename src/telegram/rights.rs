//! What a bot may do in a chat.

use serde::Deserialize;
use serde_json::Value;

use super::TelegramFault;

/// Checks that a `ChatMember` (Bot API) may post documents into this chat. In a channel these are the
/// creator, and administrators with `can_post_messages`. In a group it is every member who is not
/// restricted.
///
/// # Errors
/// The fault that `sendDocument` would have.
pub fn may_post(chat: &Value, member: &Value) -> Result<(), TelegramFault> {
    #[derive(Deserialize)]
    struct Member {
        status: String,
        can_post_messages: Option<bool>,
        can_send_documents: Option<bool>,
    }
    let refused = |description: &str| {
        Err(TelegramFault::ChatRefused {
            description: description.to_owned(),
        })
    };
    let is_channel = chat["type"] == "channel";
    let Ok(member) = Member::deserialize(member) else {
        return Err(TelegramFault::Failed { description: None });
    };
    match member.status.as_str() {
        "creator" => Ok(()),
        "administrator" if !is_channel || member.can_post_messages == Some(true) => Ok(()),
        "member" if !is_channel => Ok(()),
        "restricted" if member.can_send_documents == Some(true) => Ok(()),
        "kicked" => refused("Forbidden: bot was kicked from the channel chat"),
        "left" => refused("Forbidden: bot is not a member of the channel chat"),
        _ if is_channel => refused("Bad Request: need administrator rights in the channel chat"),
        _ => refused("Bad Request: have no write access to the chat"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn creators_and_administrators_may_post_and_others_only_in_groups() {
        for (member, in_channel, in_group) in [
            (json!({ "status": "creator" }), true, true),
            (
                json!({ "status": "administrator", "can_post_messages": true }),
                true,
                true,
            ),
            (
                json!({ "status": "administrator", "can_post_messages": false }),
                false,
                true,
            ),
            (json!({ "status": "administrator" }), false, true),
            (json!({ "status": "member" }), false, true),
            (
                json!({ "status": "restricted", "can_send_documents": true }),
                true,
                true,
            ),
            (json!({ "status": "restricted" }), false, false),
            (json!({ "status": "left" }), false, false),
            (json!({ "status": "kicked" }), false, false),
            (json!({ "status": "something new" }), false, false),
            (json!({}), false, false),
            (json!(null), false, false),
        ] {
            let channel = json!({ "type": "channel" });
            assert_eq!(may_post(&channel, &member).is_ok(), in_channel, "{member}");
            let group = json!({ "type": "supergroup" });
            assert_eq!(may_post(&group, &member).is_ok(), in_group, "{member}");
        }
    }
}
