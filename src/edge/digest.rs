//! Digests, computed by workerd's own `DigestStream`.

use std::ops::Range;

use js_sys::Uint8Array;
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::JsFuture;

use super::body::{JsChunk, RequestBody};
use super::js;
use crate::host::{DigestAlgorithm, DigestFault, Digester};

/// A digest that is being computed.
pub(super) struct StreamDigester(js::Digester);

impl StreamDigester {
    pub(super) fn new(algorithm: DigestAlgorithm) -> Self {
        Self(js::Digester::new(match algorithm {
            DigestAlgorithm::Md5 => "MD5",
            DigestAlgorithm::Sha1 => "SHA-1",
            DigestAlgorithm::Sha256 => "SHA-256",
        }))
    }

    async fn write(&self, view: &Uint8Array) -> Result<(), DigestFault> {
        JsFuture::from(self.0.write(view))
            .await
            .map(drop)
            .map_err(|_| DigestFault)
    }
}

impl Digester for StreamDigester {
    type Chunk = JsChunk;
    type Body = RequestBody;

    async fn update(&mut self, bytes: &[u8]) -> Result<(), DigestFault> {
        self.write(&Uint8Array::from(bytes)).await
    }

    async fn update_range(
        &mut self,
        chunk: &JsChunk,
        range: Range<usize>,
    ) -> Result<(), DigestFault> {
        let view = chunk.subarray(range).map_err(|_| DigestFault)?;
        self.write(&view).await
    }

    fn watch(&mut self, body: &mut RequestBody) {
        if let Some(stream) = body.stream() {
            body.replace_stream(self.0.watch(&stream));
        }
    }

    async fn finish(self) -> Result<Vec<u8>, DigestFault> {
        let digest = JsFuture::from(self.0.finish())
            .await
            .map_err(|_| DigestFault)?;
        Ok(digest.unchecked_into::<Uint8Array>().to_vec())
    }
}
