//! Class 20: channels.

use super::*;

method! {
    /// Opens a channel.
    ChannelOpen = (20, 10) {} [ShortBytes<'_>]
}
method! {
    /// It is open.
    ChannelOpenOk = (20, 11) {} [&[u8]]
}
method! {
    /// Asks to stop or go on with content.
    ChannelFlow = (20, 20) {
        /// True to go on.
        active: bool,
    }
}
method! {
    /// It is so.
    ChannelFlowOk = (20, 21) {
        /// True if it goes on.
        active: bool,
    }
}
method! {
    /// The end of the channel, and why.
    ChannelClose<'a> = (20, 40) {
        /// The reply code.
        reply_code: u16,
        /// The reason in words.
        reply_text: &'a str,
        /// The class of the method at fault, or 0.
        class_id: u16,
        /// The method at fault, or 0.
        method_id: u16,
    }
}
method! {
    /// The end is heard.
    ChannelCloseOk = (20, 41) {}
}
