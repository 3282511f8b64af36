//! Owns the four kinds of tasks, and the paths of each.

/// What a task makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Medium {
    /// Moving pictures.
    Video,
    /// A picture.
    Image,
    /// A song.
    Music,
    /// A model to turn around.
    ThreeD,
}

impl Medium {
    /// Every medium, for those who want one of each.
    pub const ALL: [Self; 4] = [Self::Video, Self::Image, Self::Music, Self::ThreeD];

    /// The path that creates such a task. With `/{id}` behind it, it shows one.
    pub fn create_path(self) -> &'static str {
        match self {
            Self::Video => "/v1/videos/generations",
            Self::Image => "/v1/images/generations",
            Self::Music => "/v1/music/generations",
            Self::ThreeD => "/v1/3d/generations",
        }
    }

    /// The word for it in logs, and the model of a create that names none.
    pub fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Image => "image",
            Self::Music => "music",
            Self::ThreeD => "3d",
        }
    }
}
