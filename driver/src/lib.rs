//! User-space driver of the Glovebox card over kernel VFIO or a vfio-user socket.
