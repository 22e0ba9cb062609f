//! What can go wrong when acting.

/// An error of act. All of them are met by looking again and deciding anew.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The API server said no, or did not answer.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: &'static str,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object holds what Huddle cannot read.
    #[error("{object}: {field}: {why}")]
    Malformed {
        /// Which object.
        object: String,
        /// Which field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl ActError {
    /// The HTTP status, where the API server answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => {
                if let kube::Error::Api(status) = &**source {
                    Some(status.code)
                } else {
                    None
                }
            }
            Self::Malformed { .. } => None,
        }
    }

    /// Whether something had changed meanwhile, so that looking again at once is worth while: 404, 409, and 422 for a
    /// failed test of a JSON patch.
    pub fn is_stale(&self) -> bool {
        matches!(self.code(), Some(404 | 409 | 422))
    }
}

/// Names what was being done when the API call failed.
pub(crate) trait Doing<T> {
    /// The same result, with its story.
    fn doing(self, what: &'static str) -> Result<T, ActError>;
}

impl<T> Doing<T> for Result<T, kube::Error> {
    fn doing(self, what: &'static str) -> Result<T, ActError> {
        self.map_err(|source| ActError::Api {
            doing: what,
            source: Box::new(source),
        })
    }
}

/// Takes "not found" as nothing.
pub(crate) fn or_gone<T>(result: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
