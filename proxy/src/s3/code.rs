//! The codes of S3's errors, with the statuses and sentences that clients know. Pure.

use http::StatusCode;

/// What went wrong, in S3's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sentence of each says it")]
pub enum Code {
    AccessDenied,
    AccessForbidden,
    AccessControlListNotSupported,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParameters,
    BadDigest,
    BadRequest,
    BrokenMpu,
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    ConditionalRequestConflict,
    EntityTooLarge,
    EntityTooSmall,
    IncompleteBody,
    InternalError,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidBucketName,
    InvalidBucketState,
    InvalidBucketAclWithObjectOwnership,
    InvalidChunkSize,
    InvalidDigest,
    InvalidEncryptionAlgorithm,
    InvalidLocationConstraint,
    InvalidPart,
    InvalidPartNumber,
    InvalidPartOrder,
    InvalidPolicyDocument,
    InvalidRange,
    InvalidRedirectLocation,
    InvalidRequest,
    InvalidRetentionPeriod,
    InvalidStorageClass,
    InvalidTag,
    InvalidUri,
    KeyTooLong,
    MalformedAcl,
    MalformedPolicy,
    MalformedPostRequest,
    MalformedTrailer,
    MalformedXml,
    MethodNotAllowed,
    MissingContentLength,
    MissingRequestBody,
    MissingSecurityHeader,
    NoLoggingStatusForKey,
    NoSuchBucket,
    NoSuchBucketPolicy,
    NoSuchCorsConfiguration,
    NoSuchKey,
    NoSuchLifecycleConfiguration,
    NoSuchObjectLockConfiguration,
    NoSuchPublicAccessBlockConfiguration,
    NoSuchTagSet,
    NoSuchUpload,
    NoSuchVersion,
    NoSuchWebsiteConfiguration,
    NotImplemented,
    ObjectLockConfigurationNotFound,
    OperationAborted,
    OwnershipControlsNotFound,
    PreconditionFailed,
    RequestTimeTooSkewed,
    RequestTimeout,
    ServerSideEncryptionConfigurationNotFound,
    ServiceUnavailable,
    SignatureDoesNotMatch,
    SlowDown,
    UnexpectedContent,
    UserKeyMustBeSpecified,
    Sha256Mismatch,
}

impl Code {
    /// As clients read it.
    pub fn name(self) -> &'static str {
        self.meaning().0
    }

    /// The status of an answer with it.
    pub fn status(self) -> StatusCode {
        self.meaning().1
    }

    /// The sentence that goes with it.
    pub fn message(self) -> &'static str {
        self.meaning().2
    }

    fn meaning(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::AccessControlListNotSupported => {
                ("AccessControlListNotSupported", StatusCode::BAD_REQUEST, "The bucket does not allow ACLs")
            }
            Self::AccessForbidden => {
                ("AccessForbidden", StatusCode::FORBIDDEN, "CORSResponse: This CORS request is not allowed.")
            }
            Self::AccessDenied => ("AccessDenied", StatusCode::FORBIDDEN, "Access Denied."),
            Self::AuthorizationHeaderMalformed => (
                "AuthorizationHeaderMalformed",
                StatusCode::BAD_REQUEST,
                "The authorization header is malformed; the authorization header requires three components: Credential, SignedHeaders, and Signature.",
            ),
            Self::AuthorizationQueryParameters => ("AuthorizationQueryParametersError", StatusCode::BAD_REQUEST, ""),
            Self::BadRequest => ("BadRequest", StatusCode::BAD_REQUEST, "Bad Request"),
            Self::BadDigest => {
                ("BadDigest", StatusCode::BAD_REQUEST, "The Content-MD5 you specified did not match what we received.")
            }
            Self::BrokenMpu => ("BrokenMPU", StatusCode::CONFLICT, "Multipart upload has broken segment data."),
            Self::BucketAlreadyExists => (
                "BucketAlreadyExists",
                StatusCode::CONFLICT,
                "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.",
            ),
            Self::BucketAlreadyOwnedByYou => (
                "BucketAlreadyOwnedByYou",
                StatusCode::CONFLICT,
                "Your previous request to create the named bucket succeeded and you already own it.",
            ),
            Self::BucketNotEmpty => {
                ("BucketNotEmpty", StatusCode::CONFLICT, "The bucket you tried to delete is not empty")
            }
            Self::ConditionalRequestConflict => (
                "ConditionalRequestConflict",
                StatusCode::CONFLICT,
                "Others write this key at the same time. Nothing was written; try again.",
            ),
            Self::EntityTooLarge => (
                "EntityTooLarge",
                StatusCode::BAD_REQUEST,
                "Your proposed upload exceeds the maximum allowed object size.",
            ),
            Self::EntityTooSmall => (
                "EntityTooSmall",
                StatusCode::BAD_REQUEST,
                "Your proposed upload is smaller than the minimum allowed object size.",
            ),
            Self::IncompleteBody => (
                "IncompleteBody",
                StatusCode::BAD_REQUEST,
                "You did not provide the number of bytes specified by the Content-Length HTTP header",
            ),
            Self::InternalError => (
                "InternalError",
                StatusCode::INTERNAL_SERVER_ERROR,
                "We encountered an internal error. Please try again.",
            ),
            Self::InvalidAccessKeyId => (
                "InvalidAccessKeyId",
                StatusCode::FORBIDDEN,
                "The AWS Access Key Id you provided does not exist in our records.",
            ),
            Self::InvalidArgument => ("InvalidArgument", StatusCode::BAD_REQUEST, "Invalid Argument."),
            Self::InvalidBucketAclWithObjectOwnership => (
                "InvalidBucketAclWithObjectOwnership",
                StatusCode::BAD_REQUEST,
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
            ),
            Self::InvalidBucketName => {
                ("InvalidBucketName", StatusCode::BAD_REQUEST, "The specified bucket is not valid.")
            }
            Self::InvalidBucketState => (
                "InvalidBucketState",
                StatusCode::CONFLICT,
                "The request is not valid with the current state of the bucket.",
            ),
            Self::InvalidRetentionPeriod => (
                "InvalidRetentionPeriod",
                StatusCode::BAD_REQUEST,
                "Default retention period must be a positive integer value.",
            ),
            Self::InvalidChunkSize => (
                "InvalidChunkSizeError",
                StatusCode::FORBIDDEN,
                "Only the last chunk is allowed to have a size less than 8192 bytes",
            ),
            Self::InvalidDigest => {
                ("InvalidDigest", StatusCode::BAD_REQUEST, "The Content-MD5 you specified was invalid.")
            }
            Self::InvalidLocationConstraint => (
                "InvalidLocationConstraint",
                StatusCode::BAD_REQUEST,
                "The specified location constraint is not valid.",
            ),
            Self::InvalidPart => (
                "InvalidPart",
                StatusCode::BAD_REQUEST,
                "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
            ),
            Self::InvalidPartNumber => {
                ("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE, "The requested partnumber is not satisfiable")
            }
            Self::InvalidPartOrder => (
                "InvalidPartOrder",
                StatusCode::BAD_REQUEST,
                "The list of parts was not in ascending order.Parts list must specified in order by part number.",
            ),
            Self::InvalidPolicyDocument => (
                "InvalidPolicyDocument",
                StatusCode::BAD_REQUEST,
                "The content of the form does not meet the conditions specified in the policy document.",
            ),
            Self::InvalidRange => {
                ("InvalidRange", StatusCode::RANGE_NOT_SATISFIABLE, "The requested range cannot be satisfied.")
            }
            Self::InvalidRequest => ("InvalidRequest", StatusCode::BAD_REQUEST, "Invalid Request."),
            Self::InvalidStorageClass => {
                ("InvalidStorageClass", StatusCode::BAD_REQUEST, "The storage class you specified is not valid.")
            }
            Self::InvalidTag => ("InvalidTag", StatusCode::BAD_REQUEST, "The tag provided was not a valid tag."),
            Self::InvalidUri => ("InvalidURI", StatusCode::BAD_REQUEST, "Couldn't parse the specified URI."),
            Self::KeyTooLong => ("KeyTooLongError", StatusCode::BAD_REQUEST, "Your key is too long."),
            Self::MalformedPolicy => ("MalformedPolicy", StatusCode::BAD_REQUEST, "This policy contains invalid Json"),
            Self::MalformedAcl => (
                "MalformedACLError",
                StatusCode::BAD_REQUEST,
                "The XML you provided was not well-formed or did not validate against our published schema.",
            ),
            Self::MalformedPostRequest => (
                "MalformedPOSTRequest",
                StatusCode::BAD_REQUEST,
                "The body of your POST request is not well-formed multipart/form-data.",
            ),
            Self::MalformedTrailer => (
                "MalformedTrailerError",
                StatusCode::BAD_REQUEST,
                "The request contained trailing data that was not well-formed or did not conform to our published schema.",
            ),
            Self::MalformedXml => (
                "MalformedXML",
                StatusCode::BAD_REQUEST,
                "The XML you provided was not well-formed or did not validate against our published schema",
            ),
            Self::MethodNotAllowed => (
                "MethodNotAllowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The specified method is not allowed against this resource.",
            ),
            Self::MissingContentLength => (
                "MissingContentLength",
                StatusCode::LENGTH_REQUIRED,
                "You must provide the Content-Length HTTP header.",
            ),
            Self::MissingRequestBody => ("MissingRequestBodyError", StatusCode::BAD_REQUEST, "Request body is empty."),
            Self::MissingSecurityHeader => {
                ("MissingSecurityHeader", StatusCode::BAD_REQUEST, "Your request was missing a required header.")
            }
            Self::NoLoggingStatusForKey => (
                "NoLoggingStatusForKey",
                StatusCode::BAD_REQUEST,
                "There is no such thing as a logging status sub-resource for a key.",
            ),
            Self::NoSuchCorsConfiguration => {
                ("NoSuchCORSConfiguration", StatusCode::NOT_FOUND, "The CORS configuration does not exist")
            }
            Self::NoSuchBucketPolicy => {
                ("NoSuchBucketPolicy", StatusCode::NOT_FOUND, "The bucket policy does not exist")
            }
            Self::NoSuchBucket => ("NoSuchBucket", StatusCode::NOT_FOUND, "The specified bucket does not exist."),
            Self::NoSuchPublicAccessBlockConfiguration => (
                "NoSuchPublicAccessBlockConfiguration",
                StatusCode::NOT_FOUND,
                "The public access block configuration was not found",
            ),
            Self::NoSuchLifecycleConfiguration => {
                ("NoSuchLifecycleConfiguration", StatusCode::NOT_FOUND, "The lifecycle configuration does not exist")
            }
            Self::NoSuchKey => ("NoSuchKey", StatusCode::NOT_FOUND, "The specified key does not exist."),
            Self::NoSuchObjectLockConfiguration => (
                "NoSuchObjectLockConfiguration",
                StatusCode::NOT_FOUND,
                "The specified object does not have a ObjectLock configuration",
            ),
            Self::NoSuchTagSet => ("NoSuchTagSet", StatusCode::NOT_FOUND, "The TagSet does not exist"),
            Self::NoSuchUpload => (
                "NoSuchUpload",
                StatusCode::NOT_FOUND,
                "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have been aborted or completed.",
            ),
            Self::NoSuchWebsiteConfiguration => (
                "NoSuchWebsiteConfiguration",
                StatusCode::NOT_FOUND,
                "The specified bucket does not have a website configuration",
            ),
            Self::InvalidRedirectLocation => (
                "InvalidRedirectLocation",
                StatusCode::BAD_REQUEST,
                "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
            ),
            Self::NoSuchVersion => ("NoSuchVersion", StatusCode::NOT_FOUND, "The specified version does not exist."),
            Self::NotImplemented => ("NotImplemented", StatusCode::NOT_IMPLEMENTED, "Not implemented."),
            Self::InvalidEncryptionAlgorithm => (
                "InvalidEncryptionAlgorithmError",
                StatusCode::BAD_REQUEST,
                "The encryption request that you specified is not valid. The valid value is AES256.",
            ),
            Self::ServerSideEncryptionConfigurationNotFound => (
                "ServerSideEncryptionConfigurationNotFoundError",
                StatusCode::NOT_FOUND,
                "The server side encryption configuration was not found",
            ),
            Self::OwnershipControlsNotFound => (
                "OwnershipControlsNotFoundError",
                StatusCode::NOT_FOUND,
                "The bucket ownership controls were not found",
            ),
            Self::ObjectLockConfigurationNotFound => (
                "ObjectLockConfigurationNotFoundError",
                StatusCode::NOT_FOUND,
                "Object Lock configuration does not exist for this bucket",
            ),
            Self::OperationAborted => (
                "OperationAborted",
                StatusCode::CONFLICT,
                "A conflicting conditional operation is currently in progress against this resource. Try again.",
            ),
            Self::PreconditionFailed => (
                "PreconditionFailed",
                StatusCode::PRECONDITION_FAILED,
                "At least one of the preconditions you specified did not hold.",
            ),
            Self::RequestTimeTooSkewed => (
                "RequestTimeTooSkewed",
                StatusCode::FORBIDDEN,
                "The difference between the request time and the current time is too large.",
            ),
            Self::RequestTimeout => (
                "RequestTimeout",
                StatusCode::BAD_REQUEST,
                "Your socket connection to the server was not read from or written to within the timeout period.",
            ),
            Self::ServiceUnavailable => {
                ("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE, "Please reduce your request rate.")
            }
            Self::SignatureDoesNotMatch => (
                "SignatureDoesNotMatch",
                StatusCode::FORBIDDEN,
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            ),
            Self::SlowDown => ("SlowDown", StatusCode::SERVICE_UNAVAILABLE, "Please reduce your request rate."),
            Self::UnexpectedContent => {
                ("UnexpectedContent", StatusCode::BAD_REQUEST, "This request does not support content.")
            }
            Self::UserKeyMustBeSpecified => (
                "UserKeyMustBeSpecified",
                StatusCode::BAD_REQUEST,
                "The bucket POST must contain the specified field name. If it is specified, please check the order of the fields.",
            ),
            Self::Sha256Mismatch => (
                "XAmzContentSHA256Mismatch",
                StatusCode::BAD_REQUEST,
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            ),
        }
    }
}
