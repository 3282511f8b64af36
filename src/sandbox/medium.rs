//! Owns the four kinds of tasks and their paths.

/// The kind of a task's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Medium {
    /// A video.
    Video,
    /// An image.
    Image,
    /// A song.
    Music,
    /// A 3D model.
    ThreeD,
}

impl Medium {
    /// Every medium.
    pub const ALL: [Self; 4] = [Self::Video, Self::Image, Self::Music, Self::ThreeD];

    /// The path of a create. With `/{id}` behind it, it is a status path.
    pub fn create_path(self) -> &'static str {
        match self {
            Self::Video => "/v1/videos/generations",
            Self::Image => "/v1/images/generations",
            Self::Music => "/v1/music/generations",
            Self::ThreeD => "/v1/3d/generations",
        }
    }

    /// The name in logs, and in the model of a create that names none.
    pub fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Image => "image",
            Self::Music => "music",
            Self::ThreeD => "3d",
        }
    }
}
